using System.Text;
using System.Text.Unicode;
using Launchd.Config.Diagnostics;
using Launchd.Config.Sources;
using Launchd.Config.Tables;
using Launchd.Config.Toml;

namespace Launchd.Config.Loading;

/// <summary>Reads the first file and all files that it includes, directly or through others, each once.</summary>
internal sealed class DocumentLoader(ReadContext context, CollectorPause pause)
{
    /// <summary>A thousand services take 25 to 45 bytes of tree and definitions for each byte of text.</summary>
    private const long MemoryPerByte = 48;

    public const int MostFileBytes = 1 << 20;
    public const int MostIncludeDepth = 16;
    public const int MostFiles = 4096;

    private readonly List<TableReader> _roots = [];
    private readonly List<string> _stack = [];
    private readonly HashSet<string> _seen = new(StringComparer.Ordinal);

    /// <summary>Whether a file could not be read or is not TOML: then references to its tables must not be reported as wrong.</summary>
    public bool HasUnreadFile { get; private set; }

    /// <summary>The root tables in the order of inclusion, the first file's first.</summary>
    public IReadOnlyList<TableReader> Load()
    {
        ConfigSource source = context.Source;
        string path = Path.GetFullPath(source.FilePath, "/");
        LoadFile(path, new SourceSpan(new SourceText(path, source.DisplayPath, ""), 0, 0), "");
        return _roots;
    }

    private void LoadFile(string path, SourceSpan mention, string prefix)
    {
        _seen.Add(path);
        _stack.Add(path);
        if (ReadText(path, mention, prefix) is { } text && TomlTreeReader.Read(text, context.Diagnostics) is { } table)
        {
            TableReader root = TableReader.ForRoot(context, text, table);
            _roots.Add(root);
            foreach (TomlValue item in root.Elements("include"))
                Include(root, item);
        }
        else
        {
            HasUnreadFile = true;
        }
        _stack.RemoveAt(_stack.Count - 1);
    }

    private void Include(TableReader root, TomlValue item)
    {
        if (root.NonEmpty("include", item) is not { } written)
            return;
        string pattern = Path.GetFullPath(written, root.Source.DirectoryPath);
        bool isPattern = pattern.AsSpan().ContainsAny('*', '?');
        IReadOnlyList<string> paths = isPattern ? context.Source.Files.List(pattern) : [pattern];
        if (paths.Count == 0)
        {
            context.Diagnostics.Warning(DiagnosticCode.NothingIncluded, item.Span, $"include: no file matches '{written}'",
                $"nothing is included; relative paths start at {root.Source.DirectoryPath}");
        }
        foreach (string path in paths)
        {
            if (_stack.Contains(path))
                root.Error(DiagnosticCode.IncludeLoop, "include", item, $"'{Display(path)}' is including this file already");
            else if (_stack.Count > MostIncludeDepth)
                root.Error(DiagnosticCode.IncludeLoop, "include", item, $"files include each other more than {MostIncludeDepth} deep");
            else if (_seen.Count >= MostFiles)
                root.Error(DiagnosticCode.IncludeLoop, "include", item, $"more than {MostFiles} files are included");
            else if (!_seen.Contains(path))
                LoadFile(path, item.Span, "include: ");
        }
    }

    private SourceText? ReadText(string path, SourceSpan mention, string prefix)
    {
        DiagnosticBag diagnostics = context.Diagnostics;
        string display = Display(path);
        string? distrust = context.Source.UserId == 0 ? context.Source.Files.FindDistrust(path) : null;
        ConfigFileContent content = context.Source.Files.Read(path, MostFileBytes + 1);
        if (distrust is not null && !content.IsMissing)
        {
            diagnostics.Error(
                DiagnosticCode.FileNotTrusted, mention,
                $"{prefix}'{display}' could be changed by others, who would then act as root: {distrust}",
                "let it and every directory above it belong to root and be writable by its owner only; where nobody else can get at it, "
                    + "as at a file that is mounted into a container: --trust-config, or LAUNCHD_TRUST_CONFIG=1");
        }
        // Read checks the opened file for trust once more; if the name was refused already, that is enough.
        if (content.Problem is { } problem)
        {
            if (distrust is null || content.IsMissing)
                diagnostics.Error(DiagnosticCode.FileUnreadable, mention, $"{prefix}the file '{display}' {problem}");
            return null;
        }
        if (content.Bytes.Length > MostFileBytes)
        {
            diagnostics.Error(DiagnosticCode.FileTooLarge, mention, $"{prefix}the file '{display}' is larger than 1 MiB");
            return null;
        }
        pause.Expect(content.Bytes.Length * MemoryPerByte);
        return Decode(path, display, content.Bytes);
    }

    private SourceText? Decode(string path, string display, ReadOnlySpan<byte> bytes)
    {
        if (bytes.StartsWith(Encoding.UTF8.Preamble))
            bytes = bytes[Encoding.UTF8.Preamble.Length..];
        SourceText text = new(path, display, Encoding.UTF8.GetString(bytes));
        if (!Utf8.IsValid(bytes))
        {
            char[] characters = new char[bytes.Length];
            Utf8.ToUtf16(bytes, characters, out _, out int valid, replaceInvalidSequences: false);
            SourceSpan invalid = new(text, valid, 1);
            context.Diagnostics.Error(DiagnosticCode.NotUtf8, invalid, "the file is not UTF-8 text", "save it as UTF-8");
            return null;
        }
        int nul = text.Text.IndexOf('\0');
        if (nul < 0)
            return text;
        context.Diagnostics.Error(DiagnosticCode.NulByte, new SourceSpan(text, nul, 1), "the file holds a NUL byte",
            "take it out; a file of UTF-16 has many, and is to be saved as UTF-8");
        return null;
    }

    // Included files are shown relative to the first file as the operator named it.
    private string Display(string path)
    {
        ConfigSource source = context.Source;
        if (path == source.FilePath)
            return source.DisplayPath;
        string directory = (Path.GetDirectoryName(source.FilePath) ?? "/").TrimEnd('/') + "/";
        return path.StartsWith(directory, StringComparison.Ordinal)
            ? Path.Join(Path.GetDirectoryName(source.DisplayPath), path[directory.Length..])
            : path;
    }
}
