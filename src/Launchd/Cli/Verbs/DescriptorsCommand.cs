using System.Text.Json;
using Launchd.Cli.Connecting;
using Launchd.Cli.Surroundings;
using Launchd.Cli.Views;
using Launchd.Control;

namespace Launchd.Cli.Verbs;

/// <summary>What the operator asked of <c>fds</c>.</summary>
internal sealed record DescriptorsOptions(string? Name, string? Service, bool Json);

/// <summary><c>fds</c>: every descriptor that the supervisor holds or has passed, and who has it.</summary>
internal static class DescriptorsCommand
{
    public static ExitCode Run(CliContext context, DescriptorsOptions options)
    {
        using ControlClient client = new SupervisorFinder(context).Connect(options.Name);
        DescriptorsReply reply = client.Call(
            "Descriptors", new FilterRequest(options.Service), ControlClient.Json.FilterRequest, ControlClient.Json.DescriptorsReply,
            context.AnswerTimeout);
        if (options.Json)
            context.Output.WriteLine(JsonSerializer.Serialize(reply, ControlClient.Json.DescriptorsReply));
        else if (reply.Descriptors.Length == 0)
            context.Output.WriteLine("no descriptors");
        else
            TableOf(reply.Descriptors).Write(context.Output);
        return ExitCode.Done;
    }

    private static Table TableOf(DescriptorStatus[] descriptors)
    {
        Table table = new(
            new Column("NAME", MostColumns: 32), new Column("KIND"), new Column("ADDRESS"), new Column("ORIGIN"),
            new Column("FD", IsRight: true), new Column("GEN", IsRight: true), new Column("QUEUE", IsRight: true),
            new Column("HOLDERS", MostColumns: 32), new Column("MAY ASK", MostColumns: 32), new Column("FLAGS"));
        foreach (DescriptorStatus d in descriptors)
        {
            table.Add(
                d.Name, d.Kind, d.Address, d.Origin, $"{d.Number}", $"{d.Generation}", $"{d.QueueCount}", string.Join(",", d.Holders),
                string.Join(",", d.MayAsk), string.Join(",", d.Flags));
        }
        return table;
    }
}
