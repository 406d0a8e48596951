using Launchd.Core;
using Launchd.Host.Instances;
using Launchd.Host.Listeners;
using Launchd.Host.Provisioning;
using Xunit;

namespace Launchd.IntegrationTests.Host;

// Where a listener stands, from its opening to its closing.
public sealed partial class DescriptorPlanTests
{
    [Fact]
    public void ARetiredListenerIsUnusedWhenItsLastHolderIsOver()
    {
        DescriptorTable table = Open(OfWeb());
        Listener listener = table.Find(One(table, "a").Descriptor)!;
        Provision provision = table.Provisions[Assert.Single(_definition!.Services)];
        RunningInstance first = new(new InstanceId(provision.Definition.Name, 1), 0, 1, provision);
        RunningInstance second = new(new InstanceId(provision.Definition.Name, 2), 0, 1, provision);
        table.Give(first, listener.Opened);
        table.Give(second, listener.Opened);

        Assert.Null(Change("[services.other]\ncommand = [\"true\"]"));

        Assert.Equal(ListenerStanding.Retired, listener.Standing);
        Assert.Equal([first, second], listener.Holders);
        Assert.Empty(table.TakeUnused());
        table.TakeBack(first);
        Assert.Empty(table.TakeUnused());
        table.TakeBack(second);
        // The former definition may still be started by, as far as the table knows.
        Assert.True(listener.IsClaimed);
        Assert.Empty(table.TakeUnused());
        table.Provisions.Prune(new Core.Supervisor(_definition, seed: 1));
        Assert.Same(listener, Assert.Single(table.TakeUnused()));
        Assert.Empty(table.Retired);
        Assert.Null(table.Find(listener.Descriptor));
        listener.Close();
        Assert.Equal(ListenerStanding.Closed, listener.Standing);
    }

    [Fact]
    public void AListenerThatComesBackIsTheSame()
    {
        DescriptorTable table = Open(OfWeb());
        Listener listener = table.Find(One(table, "a").Descriptor)!;
        Assert.Null(Change("[services.other]\ncommand = [\"true\"]"));
        Assert.Equal([listener], table.Retired);

        Assert.Null(Change(OfWeb()));

        Assert.True(listener.IsConfigured);
        Assert.Same(listener, table.Find(One(table, "a").Descriptor));
        Assert.Empty(table.Retired);
        Assert.Empty(table.TakeUnused());
    }

    private string OfWeb() => $"""
        [sockets.a]
        listen = "unix:@{_directory["x"]}"
        [services.web]
        command = ["true"]
        sockets = ["a"]
        """;
}
