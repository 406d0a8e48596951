using System.Text;

namespace Launchd.Cli.Verbs;

/// <summary>
/// What a program has changed of the screen that it writes to (ECMA-48, and the private modes of xterm), so that it can be taken back when
/// the program is not shown any more.
/// </summary>
internal sealed class ScreenModes
{
    private const byte Escape = 0x1b;

    /// <summary>Plain text, a visible cursor, no reports of the mouse, no brackets around what is pasted, ordinary cursor keys.</summary>
    private const string Ordinary = "\e[0m\e[?25h\e[?1000l\e[?1002l\e[?1003l\e[?1004l\e[?1006l\e[?2004l\e[?1l\e>";
    private const string LeaveAlternate = "\e[?1049l";

    private static readonly byte[] ToAlternate = Encoding.ASCII.GetBytes("\e[?1049h");
    private static readonly byte[] FromAlternate = Encoding.ASCII.GetBytes(LeaveAlternate);

    private byte[] _end = [];
    private bool _isChanged;
    private bool _isAlternate;

    /// <summary>What is written to take it back.</summary>
    public string Undone => (_isAlternate ? LeaveAlternate : "") + (_isChanged ? Ordinary : "");

    /// <summary>Takes the next piece of output; a sequence may go on from one piece to the next.</summary>
    public void Note(ReadOnlySpan<byte> output)
    {
        byte[] text = [.. _end, .. output];
        _isChanged |= text.AsSpan().Contains(Escape);
        int to = text.AsSpan().LastIndexOf(ToAlternate), from = text.AsSpan().LastIndexOf(FromAlternate);
        if (to >= 0 || from >= 0)
            _isAlternate = to > from;
        _end = text[Math.Max(0, text.Length - ToAlternate.Length + 1)..];
    }
}
