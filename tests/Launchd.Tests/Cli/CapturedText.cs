using System.Text;

namespace Launchd.Tests.Cli;

/// <summary>What a verb has written so far, which another thread may read, or await.</summary>
internal sealed class CapturedText : TextWriter
{
    private static readonly TimeSpan _deadline = TimeSpan.FromSeconds(60);

    private readonly StringBuilder _text = new();

    public CapturedText() => NewLine = "\n";

    public override Encoding Encoding => Encoding.UTF8;

    public override void Write(char value) => Write([value]);

    public override void Write(string? value) => Write(value.AsSpan());

    public override void Write(char[] buffer, int index, int count) => Write(buffer.AsSpan(index, count));

    public override void Write(ReadOnlySpan<char> buffer)
    {
        lock (_text)
        {
            _text.Append(buffer);
            Monitor.PulseAll(_text);
        }
    }

    public void Clear()
    {
        lock (_text)
            _text.Clear();
    }

    public void Await(Predicate<string> isWanted)
    {
        lock (_text)
        {
            while (!isWanted(_text.ToString()))
            {
                if (!Monitor.Wait(_text, _deadline))
                    throw new TimeoutException($"nothing more was written within {_deadline.TotalSeconds:0} s; so far:\n{_text}");
            }
        }
    }

    public override string ToString()
    {
        lock (_text)
            return _text.ToString();
    }
}
