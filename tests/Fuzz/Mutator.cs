using System.Text;

namespace Launchd.Fuzz;

/// <summary>
/// Changes inputs of a corpus a little or much: bits, bytes, numbers, words of the formats, pieces of other inputs. The same seed gives the
/// same inputs. What it made stays in a small pool of its own and is changed further, so that some come far from where they began.
/// </summary>
internal sealed class Mutator
{
    private const int MostBytes = 16 << 10;
    private const int PoolCount = 256;

    private static readonly byte[][] Words =
    [
        .. ((string[])
        [
            "\0", "\n", "\r\n", "\"", "'", "\"\"\"", "'''", "\\", "\\u", "\\ud800",
            "\\udc00", "\\u0000", "{", "}", "[", "]", "[[", "]]", ":", ",", "=", "#",
            "-", "-1", "0", "1", "9223372036854775807", "-9223372036854775808",
            "18446744073709551616", "4294967296", "2147483648", "1e999", "nan",
            "${", "$$", "${fd:", "%", "export ", "true", "false", "null", "READY=1\n", "MAINPID=", "FDNAME=", "BARRIER=1", "STATUS=",
            "EXTEND_TIMEOUT_USEC=", "\"method\":", "\"parameters\":",
            "org.launchd-cs.Instance.", "org.launchd-cs.Supervisor.", "\"names\":",
            "services", "sockets", "command", "listen", "environment",
            "include = [\"*\"]", "1h", "10MiB", "unix:", "tcp://*:1", "tfd:", "events:",
            "ino:", "sdev:", "Pid:\t", "Max open files", "unlimited", ")", ") S 1 1 1 ", "\ud83d\ude00", "\u202e", "\ufeff", "\u0085",
        ]).Select(Encoding.UTF8.GetBytes),
        [0xff], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0xf4, 0x90, 0x80, 0x80],
        [0, 0, 0, 0], [0xff, 0xff, 0xff, 0xff], [0xff, 0xff, 0xff, 0x7f], [16, 0, 0, 0],
    ];

    private readonly Random _random;
    private readonly byte[][] _corpus;
    private readonly List<byte[]> _pool = [];

    public Mutator(int seed, byte[][] corpus)
    {
        _random = new Random(seed);
        _corpus = corpus;
    }

    /// <summary>The files of a folder, in the order of their names.</summary>
    public static byte[][] ReadCorpus(string folder) =>
        [.. Directory.GetFiles(folder).Order(StringComparer.Ordinal).Select(File.ReadAllBytes)];

    public byte[] Next()
    {
        List<byte> bytes = [.. Any()];
        for (int n = 1 << _random.Next(5); n > 0; n--)
            Change(bytes);
        if (bytes.Count > MostBytes)
            bytes.RemoveRange(MostBytes, bytes.Count - MostBytes);
        byte[] next = [.. bytes];
        if (_pool.Count < PoolCount)
            _pool.Add(next);
        else
            _pool[_random.Next(PoolCount)] = next;
        return next;
    }

    private byte[] Any() =>
        _pool.Count > 0 && _random.Next(4) == 0 ? _pool[_random.Next(_pool.Count)] : _corpus[_random.Next(_corpus.Length)];

    private void Change(List<byte> bytes)
    {
        int at = _random.Next(bytes.Count + 1);
        int rest = bytes.Count - at;
        switch (_random.Next(8))
        {
            case 0 when rest > 0:
                bytes[at] ^= (byte)(1 << _random.Next(8));
                break;
            case 1 when rest > 0:
                bytes[at] = (byte)_random.Next(256);
                break;
            case 2:
                bytes.RemoveRange(at, Math.Min(rest, _random.Next(1, 16)));
                break;
            case 3:
                bytes.InsertRange(at, Words[_random.Next(Words.Length)]);
                break;
            case 4:
                byte[] other = Any();
                int from = _random.Next(other.Length + 1);
                bytes.InsertRange(at, other[from..Math.Min(other.Length, from + _random.Next(1, 64))]);
                break;
            case 5 when rest > 0:
                bytes.InsertRange(at, bytes.GetRange(at, Math.Min(rest, _random.Next(1, 32))));
                break;
            case 6 when rest >= 4:
                BitConverter.TryWriteBytes(System.Runtime.InteropServices.CollectionsMarshal.AsSpan(bytes)[at..], _random.Next(-4, 64));
                break;
            default:
                byte[] word = Words[_random.Next(Words.Length)];
                for (int n = _random.Next(1, 64); n > 0; n--)
                    bytes.InsertRange(at, word);
                break;
        }
    }
}
