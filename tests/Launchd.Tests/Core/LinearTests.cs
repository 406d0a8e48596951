using System.Collections.Immutable;
using Launchd.Core;
using Launchd.Model;
using Xunit;
using Xunit.Abstractions;

namespace Launchd.Tests.Core;

/// <summary>
/// What a step costs grows with what it is about, and not with its square, whatever the services' order looks like. Judged by counting: how
/// often services were looked at, and what was allocated.
/// </summary>
public sealed class LinearTests(ITestOutputHelper output)
{
    private const int Few = 500, Many = 4 * Few;

    public static TheoryData<string, string> Cases()
    {
        TheoryData<string, string> cases = [];
        foreach (string shape in (string[])["chain", "chain on demand", "fan out", "fan in", "circle", "ladder"])
        {
            foreach (string what in (string[])["boot", "stop", "start", "restart", "fail", "reload away", "reload", "shutdown"])
                cases.Add(shape, what);
        }
        return cases;
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void FourTimesTheServices_CostAboutFourTimesAsMuch(string shape, string what)
    {
        (long looks, long bytes) = Cost(shape, what, Few);
        (long moreLooks, long moreBytes) = Cost(shape, what, Many);

        output.WriteLine($"{shape}, {what}: {looks} and {moreLooks} looks, {bytes} and {moreBytes} bytes");
        // A square would be sixteen times; sets that sort have a logarithm, and collections double.
        Assert.True(moreLooks <= (6 * looks) + 500, $"{looks} looks at {Few} services, {moreLooks} at {Many}");
        Assert.True(moreBytes <= (7 * bytes) + 100_000, $"{bytes} bytes at {Few} services, {moreBytes} at {Many}");
    }

    [Theory]
    [InlineData("fan out", 0)]
    [InlineData("fan in", Many - 1)]
    [InlineData("chain", Many / 2)]
    public void WhatConcernsOneServiceOnly_LooksAtNoOther(string shape, int number)
    {
        Supervisor supervisor = new(A.Definition(Services(shape, Many)), seed: 1);
        Thin host = new(supervisor);
        host.Send(Event.Booted.Value);
        InstanceId hub = supervisor.Services[number].Slots[0].Instance!.Id;
        long before = supervisor.LookCount;

        host.Send(new Event.Notified(hub, A.Message("STATUS=serving\nWATCHDOG=1"), 1, 0, []));

        Assert.True(supervisor.LookCount - before < 50, $"{supervisor.LookCount - before} looks");
    }

    private static (long Looks, long Bytes) Cost(string shape, string what, int count)
    {
        ServiceDefinition[] services = Services(shape, count);
        Supervisor supervisor = new(A.Definition(services), seed: 1);
        Thin host = new(supervisor);
        string root = "s0", top = $"s{count - 1}";
        if (what != "boot")
            host.Send(Event.Booted.Value);
        if (what is "start" or "fail")
        {
            host.Send(Order(1, Verb.Stop, [.. services.Select(s => s.Name)]));
            host.EndAll();
            Assert.Empty(host.Live);
        }
        long looks = supervisor.LookCount, bytes = GC.GetAllocatedBytesForCurrentThread();
        switch (what)
        {
            case "boot":
                host.Send(Event.Booted.Value);
                break;
            case "stop":
                host.Send(Order(2, Verb.Stop, [new ServiceName(root), new ServiceName(top)]));
                host.EndAll();
                break;
            case "start":
                host.Send(Order(2, Verb.Start, [.. services.Select(s => s.Name)]));
                break;
            case "restart":
                host.Send(Order(2, Verb.Restart, [.. services.Select(s => s.Name)]));
                host.EndAll();
                break;
            case "fail":
                host.Fails = root;
                host.Send(Order(2, Verb.Start, [.. services.Select(s => s.Name)]));
                break;
            case "reload away":
                host.Send(new Event.Reloaded(A.Definition(A.Service("other")), new RequestId(2)));
                looks = 0; // counted anew
                host.EndAll();
                break;
            case "reload":
                SupervisorDefinition next = A.Definition([.. services.Select(s => s with { Description = "changed" })]);
                host.Send(new Event.Reloaded(next, new RequestId(2)) { Quiet = [.. services.Select(s => s.Name)] });
                looks = 0;
                break;
            case "shutdown":
                host.Send(new Event.ShutdownAsked("test", IsImmediate: false));
                host.EndAll();
                Assert.True(host.HasExited);
                break;
        }
        if (what is not ("boot" or "shutdown"))
            Assert.Equal(what is "start" or "fail" ? 2 : 1, host.Replies);
        return (supervisor.LookCount - looks, GC.GetAllocatedBytesForCurrentThread() - bytes);
    }

    private static Event.Requested Order(long number, Verb verb, ImmutableArray<ServiceName> services) =>
        new(new RequestId(number), verb, services);

    private static ServiceDefinition[] Services(string shape, int count) => [.. Enumerable.Range(0, count).Select(i => shape switch
    {
        "chain" => A.Service(Name(i), i == 0 ? [] : [Name(i - 1)]),
        "chain on demand" =>
            (i == 0 ? A.Service(Name(i)) : A.Demand(Name(i))) with { Requires = i == 0 ? [] : [new ServiceName(Name(i - 1))] },
        "fan out" => A.Service(Name(i), i == 0 ? [] : [Name(0)]),
        "fan in" => A.Service(Name(i), i < count - 1 ? [] : [.. Enumerable.Range(0, i).Select(Name)]),
        "circle" => A.Service(Name(i)) with { Wants = [new ServiceName(Name((i + 1) % count))] },
        // Each requires two, those two again, and so on: from the top to the bottom there are more
        // ways than there are services in the world.
        _ => A.Service(Name(i), i < 2 ? [] : i % 2 == 0 ? [Name(i - 1), Name(i - 2)] : [Name(i - 2), Name(i - 3)]),
    } with
    {
        Restart = RestartKind.Never,
    })];

    private static string Name(int number) => $"s{number}";
}
