using System.Reflection;
using Launchd.AcceptanceTests.Support;
using Xunit;

namespace Launchd.Client.Tests;

/// <summary>
/// The public surface is what the approved texts say. The build compares every member; here the texts are compared with what was built,
/// so that the comparison cannot be switched off unnoticed.
/// </summary>
public sealed class PublicApiTests
{
    [Fact]
    public void EveryPublicTypeIsApproved_AndEveryApprovedTypeIsPublic()
    {
        string folder = Path.Combine(Repository.Root, "src", "Launchd.Client");
        string[] approved =
            [.. new[] { "PublicAPI.Shipped.txt", "PublicAPI.Unshipped.txt" }.SelectMany(f => File.ReadLines(Path.Combine(folder, f)))];
        Type[] built = [.. typeof(LaunchdClient).Assembly.GetExportedTypes()];

        Assert.Equal(built.Select(t => t.FullName!).Order(StringComparer.Ordinal), approved.Where(IsType).Order(StringComparer.Ordinal));
        foreach (Type type in built)
        {
            const BindingFlags own = BindingFlags.DeclaredOnly | BindingFlags.Public | BindingFlags.Instance | BindingFlags.Static;
            foreach (string member in type.GetMembers(own).Select(m => Written(type, m.Name)).Where(m => m.Length > 0))
            {
                Assert.Contains(approved, line => line.Contains($"{type.FullName}.{member}", StringComparison.Ordinal));
            }
        }
    }

    [Fact]
    public void TheLibraryDependsOnNothing() =>
        Assert.All(typeof(LaunchdClient).Assembly.GetReferencedAssemblies(),
            a => Assert.True(a.Name!.StartsWith("System.", StringComparison.Ordinal) || a.Name == "Microsoft.Win32.Primitives", a.Name));

    private static bool IsType(string line) => line.Length > 0 && line[0] != '#' && line.IndexOfAny([' ', '(']) < 0;

    private static string Written(Type type, string member) => member switch
    {
        ".ctor" => type.Name + '(',
        "value__" => "",
        _ when member.StartsWith("get_", StringComparison.Ordinal) => member[4..] + ".get",
        _ when member.StartsWith("set_", StringComparison.Ordinal) => member[4..],
        _ => member,
    };
}
