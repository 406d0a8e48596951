using System.Text;
using System.Text.Json;
using Launchd.AcceptanceTests.Support;
using Xunit;

namespace Launchd.IntegrationTests.Host;

/// <summary>Many starts at once hold the loop for seconds in all; nobody waits for all of them.</summary>
[Collection(nameof(Supervisors))]
public sealed class BurstTests
{
    private const int Count = 1500;

    [Fact]
    public async Task WhileManyAreStarted_AnOperatorIsAnswered()
    {
        StringBuilder text = new("[defaults]\noutput = \"null\"\nstart = \"manual\"\n");
        for (int i = 0; i < Count; i++)
            _ = text.Append($"[services.s{i:0000}]\ncommand = [\"sleep\", \"2147483647\"]\n");
        await using Supervisor supervisor = Supervisor.StartText(text.ToString());
        using ControlSocket control = await ControlSocket.To(supervisor);

        // Both are in the supervisor's hands before it looks at the first: the second is answered when
        // the first was carried out, or put off.
        await control.Send("""{"method":"org.launchd-cs.Supervisor.Start","parameters":{"all":true,"wait":false}}""" + "\0"
            + """{"method":"org.launchd-cs.Supervisor.Status"}""" + "\0");
        _ = await control.Read();
        int running = (await control.Read())!.Value.GetProperty("parameters").GetProperty("services").EnumerateArray().Count(HasProcess);

        Assert.InRange(running, 0, Count / 2);
        _ = await supervisor.Events.First(e => e.Kind == "ready", "ready", nth: Count);
        // Several are born at a time, and who began first need not be known first.
        Assert.Equal(Enumerable.Range(0, Count).Select(i => $"s{i:0000}"),
            supervisor.Events.All().Where(e => e.Kind == "spawned").Select(e => e.Service).Order(StringComparer.Ordinal));
        Assert.Equal(0, await supervisor.Stop());
    }

    private static bool HasProcess(JsonElement service) =>
        service.GetProperty("instances").EnumerateArray()
            .Any(i => i.TryGetProperty("pid", out JsonElement pid) && pid.ValueKind == JsonValueKind.Number);
}
