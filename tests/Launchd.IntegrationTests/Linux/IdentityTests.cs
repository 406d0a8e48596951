using Launchd.Client;
using Launchd.Linux.Processes;
using Xunit;

namespace Launchd.IntegrationTests.Linux;

public sealed class IdentityTests
{
    [Fact]
    public void RootIsFoundByNameAndByNumber()
    {
        UserRecord root = Identity.FindUser("root").Value!;
        Assert.Equal(("root", 0u, 0u, "/root"), (root.Name, root.Uid, root.Gid, root.Home));
        Assert.Equal(root, Identity.FindUser("0").Value);
        Assert.Equal(0u, Identity.FindGroup("root").Value);
        Assert.Equal("root", Identity.NameOfGroup(0));
        Assert.Contains(0u, Identity.GroupsOf("root", 0));
    }

    [Fact]
    public void AMissingNameIsMissing_ANumberNeedsNoEntry()
    {
        Assert.True(Identity.FindUser("lcs-no-such-user").IsMissing);
        Assert.True(Identity.FindGroup("lcs-no-such-group").IsMissing);
        Assert.Equal(new UserRecord(null, 3999999999, 3999999999, null, null), Identity.FindUser("3999999999").Value);
        Assert.Equal(Errno.None, Identity.FindGroup("3999999999").Errno);
    }
}
