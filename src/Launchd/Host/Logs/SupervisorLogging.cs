using System.Diagnostics.CodeAnalysis;
using Launchd.Model;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Logging.Console;
using Microsoft.Extensions.Options;

namespace Launchd.Host.Logs;

/// <summary>
/// The supervisor's own log: Microsoft.Extensions.Logging with its console provider, made by hand because the factory's builder costs
/// three times as long to start. Lines go to standard error through a queue and a thread of the provider, which sleeps while there is
/// nothing to write; when the queue is full, new lines are dropped and the provider says how many.
/// </summary>
internal static class SupervisorLogging
{
    /// <summary>Lines that may wait for the provider's thread.</summary>
    private const int QueuedLines = 2500;

    /// <summary>
    /// To be called after <see cref="ConsoleRedirect.Begin"/>. Disposing <c>Flush</c> writes what is queued and ends the thread: before the
    /// pump stops, before execve, before the process ends.
    /// </summary>
    /// <param name="format">Shape of a line.</param>
    /// <param name="least">What is less severe is not written.</param>
    /// <param name="colour">Whether the level is coloured: for <see cref="LogFormat.Pretty"/> on a terminal.</param>
    /// <returns><c>Adopt</c> changes shape and level from the next line on.</returns>
    public static (ILogger Logger, IDisposable Flush, Action<LogFormat, LogSeverity> Adopt) Create(LogFormat format, LogSeverity least, bool colour)
    {
        SwitchedFormatter formatter = new(CreateFormatter(format, colour, TimeProvider.System));
        var options = new ConsoleLoggerOptions
        {
            FormatterName = formatter.Name,
            LogToStandardErrorThreshold = LogLevel.Trace,
            QueueFullMode = ConsoleLoggerQueueFullMode.DropWrite,
            MaxQueueLength = QueuedLines,
        };
        var provider = new ConsoleLoggerProvider(new FixedOptions<ConsoleLoggerOptions>(options), [formatter]);
        LeveledLogger logger = new(provider.CreateLogger("launchd-cs")) { Least = ToLevel(least) };
        return (logger, provider, Adopt);

        void Adopt(LogFormat next, LogSeverity level)
        {
            formatter.Formatter = CreateFormatter(next, colour, TimeProvider.System);
            logger.Least = ToLevel(level);
        }
    }

    /// <summary>The formatter alone.</summary>
    public static ConsoleFormatter CreateFormatter(LogFormat format, bool colour, TimeProvider time) => format switch
    {
        LogFormat.Json => new JsonLineFormatter(time),
        LogFormat.Systemd => new SystemdLineFormatter(),
        _ => new PrettyLineFormatter(time, colour),
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

    /// <summary>Options that never change.</summary>
    private sealed class FixedOptions<
        [DynamicallyAccessedMembers(DynamicallyAccessedMemberTypes.PublicParameterlessConstructor)] T>(T value) : IOptionsMonitor<T>
    {
        public T CurrentValue => value;

        public T Get(string? name) => value;

        public IDisposable? OnChange(Action<T, string?> listener) => null;
    }

    /// <summary>The provider knows one formatter for its life; this one is that, and passes on to the present one.</summary>
    private sealed class SwitchedFormatter(ConsoleFormatter first) : ConsoleFormatter("launchd-cs")
    {
        private volatile ConsoleFormatter _formatter = first;

        public ConsoleFormatter Formatter
        {
            set => _formatter = value;
        }

        public override void Write<TState>(in LogEntry<TState> logEntry, IExternalScopeProvider? scopeProvider, TextWriter textWriter) =>
            _formatter.Write(logEntry, scopeProvider, textWriter);
    }

    /// <summary>Filters by level, which is otherwise the factory's work.</summary>
    private sealed class LeveledLogger(ILogger logger) : ILogger
    {
        public required LogLevel Least { get; set; }

        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => logger.BeginScope(state);

        public bool IsEnabled(LogLevel level) => level >= Least && level != LogLevel.None;

        public void Log<TState>(LogLevel level, EventId id, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
        {
            if (IsEnabled(level))
                logger.Log(level, id, state, exception, formatter);
        }
    }
}
