using System.Globalization;
using System.Text;
using Launchd.Linux.Facts;
using Launchd.Model;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Logging.Console;

namespace Launchd.Host.Reporting;

/// <summary>
/// The supervisor's own log: a logger of Microsoft.Extensions.Logging with the formatters of its console provider, but without that
/// provider: that one brings two threads with it (its own, and the runtime's for signals of the terminal), and writes by System.Console,
/// which fails for good if the second thread cannot be made.
/// </summary>
internal static class SupervisorLogging
{
    /// <param name="format">Shape of a line.</param>
    /// <param name="least">Entries that are less severe are not written.</param>
    /// <param name="colour">Whether the level is coloured: for <see cref="LogFormat.Pretty"/> on a terminal.</param>
    /// <param name="write">Takes the lines of one entry, on the thread that logs.</param>
    /// <returns><c>Adopt</c> changes shape and level from the next line on.</returns>
    public static (ILogger Logger, Action<LogFormat, LogSeverity> Adopt) Create(
        LogFormat format, LogSeverity least, bool colour, Action<byte[]> write)
    {
        LineLogger logger = new(write)
        {
            Formatter = CreateFormatter(format, colour, TimeProvider.System, LocalTime.Of),
            Least = ToLevel(least),
        };
        return (logger, Adopt);

        void Adopt(LogFormat next, LogSeverity level)
        {
            logger.Formatter = CreateFormatter(next, colour, TimeProvider.System, LocalTime.Of);
            logger.Least = ToLevel(level);
        }
    }

    /// <summary>The formatter alone.</summary>
    /// <param name="format">Its form.</param>
    /// <param name="colour">Whether levels have colours; for people alone.</param>
    /// <param name="time">Tells the moment.</param>
    /// <param name="local">Makes a local time of a moment.</param>
    public static ConsoleFormatter CreateFormatter(
        LogFormat format, bool colour, TimeProvider time, Func<DateTimeOffset, DateTime> local) => format switch
    {
        LogFormat.Json => new JsonLineFormatter(time),
        LogFormat.Systemd => new SystemdLineFormatter(),
        _ => new PrettyLineFormatter(time, local, colour),
    };

    private static LogLevel ToLevel(LogSeverity severity) => severity switch
    {
        LogSeverity.Trace => LogLevel.Trace,
        LogSeverity.Debug => LogLevel.Debug,
        LogSeverity.Information => LogLevel.Information,
        LogSeverity.Warning => LogLevel.Warning,
        LogSeverity.Error => LogLevel.Error,
        _ => LogLevel.Critical,
    };

    private sealed class LineLogger(Action<byte[]> write) : ILogger
    {
        private volatile ConsoleFormatter? _formatter;

        public required ConsoleFormatter Formatter
        {
            set => _formatter = value;
        }

        public required LogLevel Least { get; set; }

        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel level) => level >= Least && level != LogLevel.None;

        public void Log<TState>(LogLevel level, EventId id, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
        {
            if (!IsEnabled(level))
                return;
            using StringWriter lines = new(CultureInfo.InvariantCulture);
            _formatter!.Write(new LogEntry<TState>(level, "launchd-cs", id, state, exception, formatter), scopeProvider: null, lines);
            write(Encoding.UTF8.GetBytes(lines.ToString()));
        }
    }
}
