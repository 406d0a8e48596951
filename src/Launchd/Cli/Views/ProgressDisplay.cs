using Launchd.Cli.Surroundings;
using Launchd.Control;

namespace Launchd.Cli.Views;

/// <summary>
/// Shows an order on its way and its verdict. On a terminal one line per service changes in place until the verdict stands there;
/// elsewhere only the verdict is written, one line per service.
/// </summary>
internal sealed class ProgressDisplay(Terminal terminal, string method, ServicesRequest request)
{
    private const string OutputIndent = "    ";

    private readonly List<string> _services = [];
    private readonly Dictionary<string, string> _lines = [];
    private int _drawn;

    public void Show(ServiceProgress progress)
    {
        if (!terminal.IsTerminal)
            return;
        if (!_lines.ContainsKey(progress.Service))
            _services.Add(progress.Service);
        string text = progress.Text is { } t ? $" ({t})" : "";
        string head = terminal.Fit($"{progress.Service}: ");
        string state = terminal.Fit(progress.State, head.Length);
        int used = TerminalText.Columns(head) + TerminalText.Columns(state);
        string rest = terminal.Fit($" slot {progress.Slot}{text} …", used);
        _lines[progress.Service] = head + terminal.Paint(state, StatusView.StyleOf(progress.State)) + rest;
        Redraw();
    }

    public void Finish(ServiceResult[] results)
    {
        Erase();
        if (results.Length == 0)
            terminal.WriteLine("no service matches: nothing to do");
        foreach (ServiceResult result in results)
        {
            terminal.WriteLine(Verdict(result));
            foreach (string line in result.Output ?? [])
                terminal.WriteLine(terminal.Paint(OutputIndent + terminal.Fit(line, OutputIndent.Length), Style.Faint));
        }
        terminal.Writer.Flush();
    }

    /// <summary>Takes unfinished lines away when the wait ends without a verdict.</summary>
    public void Close()
    {
        Erase();
        terminal.Writer.Flush();
    }

    private string Verdict(ServiceResult result)
    {
        string service = TerminalText.Escape(result.Service);
        string text = result.Text is { } t ? TerminalText.Escape(t) : "";
        if (!result.Ok)
        {
            string why = text.Length > 0 ? text : $"is {TerminalText.Escape(result.State)}";
            return $"{service}: {terminal.Paint("failed", Style.Bad)}: {why}";
        }
        string state = terminal.Paint(TerminalText.Escape(result.State), StatusView.StyleOf(result.State));
        string outcome = method switch
        {
            "Signal" => $"{request.Signal} sent",
            "ReloadService" when request.Wait => text.Length > 0 ? text : $"reloaded in {DurationText.Elapsed(result.ElapsedMs)}",
            _ when request.Wait => $"{state} in {DurationText.Elapsed(result.ElapsedMs)}",
            _ => $"{state}, not waiting",
        };
        return $"{service}: {outcome}{(text.Length > 0 && text != outcome ? $" ({text})" : "")}";
    }

    private void Redraw()
    {
        Erase();
        int rows = terminal.Size().Rows - 1;
        foreach (string service in _services.TakeLast(rows))
        {
            terminal.WriteLine(_lines[service]);
            _drawn++;
        }
        terminal.Writer.Flush();
    }

    private void Erase()
    {
        if (_drawn > 0)
            terminal.Writer.Write($"\e[{_drawn}A\r\e[J");
        _drawn = 0;
    }
}
