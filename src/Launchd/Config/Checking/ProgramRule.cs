using Launchd.Model;

namespace Launchd.Config.Checking;

/// <summary>One configuration with which one program is known not to work.</summary>
/// <param name="Program">Its name, as <see cref="ProgramUse"/> finds it.</param>
/// <param name="Version">The one with which it was seen.</param>
/// <param name="Key">The key of the service that the warning is about.</param>
/// <param name="Socket">Which of its sockets it does not work with.</param>
/// <param name="Use">How it must be started for that.</param>
/// <param name="Cause">What happens then; <see cref="SocketName"/> stands for the socket.</param>
/// <param name="Remedy">What to write instead.</param>
internal sealed record ProgramRule(
    string Program, string Version, string Key, Func<ListenerDefinition, bool> Socket, Func<ProgramUse, bool> Use, string Cause,
    string Remedy)
{
    public const string OfSockets = "sockets";
    public const string SocketName = "{socket}";
}
