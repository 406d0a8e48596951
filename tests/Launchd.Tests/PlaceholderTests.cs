using Launchd.Model;
using Xunit;

namespace Launchd.Tests;

public sealed class PlaceholderTests
{
    [Fact]
    public void AStoredPlaceholderIsReplaced_AndOtherTextIsKept()
    {
        string text = "fd@" + Placeholders.Store("fd:http") + "/" + Placeholders.Store("slot");

        Assert.Equal("fd@3/0", Placeholders.Resolve(text, name => name == "slot" ? "0" : "3"));
    }
}
