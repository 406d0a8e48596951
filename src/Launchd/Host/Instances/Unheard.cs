namespace Launchd.Host.Instances;

/// <summary>A notification that did not count: who sent it, and its line that matters most.</summary>
/// <param name="Pid">The sender, as the kernel says.</param>
/// <param name="Name">Its program's name when the message was read; "?" if it had ended by then.</param>
/// <param name="Uid">Its user.</param>
/// <param name="Line"><c>READY=1</c> if the message has it, else its first line; null: it is no notification.</param>
internal sealed record Unheard(int Pid, string Name, uint Uid, string? Line);
