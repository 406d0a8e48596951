using Launchd.Client;
using Launchd.Core;
using Launchd.Host.Lifecycle;
using Launchd.Host.Loop;
using Launchd.Host.Reloading;
using Launchd.Host.Reporting;
using Launchd.Interop;
using Launchd.Linux.Loop;
using Launchd.Logs;
using Launchd.Model;
using Microsoft.Extensions.Logging;

namespace Launchd.Host.Steps;

/// <summary>What signals mean to the supervisor. All that could end it are read here; those without a meaning are counted.</summary>
internal sealed unsafe class SupervisorSignals(
    EventFeed events, InstanceTable instances, Reloads reloads, AdoptedConfiguration configuration, LogPump pump,
    Counters counters, ILogger logger)
    : IDisposable
{
    private const int Hup = 1, Int = 2, Quit = 3, Usr1 = 10, Usr2 = 12, Term = 15, Chld = 17, Pwr = 30, RealTime3 = 37;

    private readonly FileDescriptor _signals = SignalMask.OpenDescriptor();
    private readonly byte[] _buffer = new byte[Libc.SignalInfoBytes * 32];
    private Moment? _interruptedAt;
    private ulong _told;

    /// <summary>Readable when a signal has come.</summary>
    public FileDescriptor Descriptor => _signals;

    /// <summary>What SIGHUP means where no file can be read again: the terminal is gone.</summary>
    public Action? OnHangUp { get; set; }

    /// <summary>Told of SIGHUP before the reload: whoever sends it may miss something of the supervisor's.</summary>
    public Action? OnReloadAsked { get; set; }

    /// <summary>What SIGUSR2 means.</summary>
    public Action? OnUpgradeAsked { get; set; }

    public void Read()
    {
        bool hasChildren = false;
        nint got;
        fixed (byte* buffer = _buffer)
            got = Libc.read(_signals.Number, buffer, (nuint)_buffer.Length);
        try
        {
            for (int at = 0; at + Libc.SignalInfoBytes <= got; at += Libc.SignalInfoBytes)
            {
                int signal = BitConverter.ToInt32(_buffer, at);
                if (signal == Chld)
                    hasChildren = true;
                else
                    Handle(signal);
            }
        }
        finally
        {
            // SIGCHLD was read with the other signals, and nothing else tells of the children that have ended.
            if (hasChildren)
                instances.ReapSome();
        }
    }

    public void Dispose() => _signals.Dispose();

    private void Handle(int signal)
    {
        switch (signal)
        {
            case Term or Quit or Pwr or RealTime3:
                events.Feed(new Event.ShutdownAsked(new SignalNumber(signal).ToString(), IsImmediate: false));
                break;
            case Int:
                Interrupt(HostClock.Now);
                break;
            case Usr1:
                pump.ReopenFiles();
                break;
            case Usr2 when OnUpgradeAsked is { } upgrade:
                upgrade();
                break;
            case Hup when configuration.Source is not null:
                OnReloadAsked?.Invoke();
                reloads.HangUp();
                break;
            case Hup when OnHangUp is { } hangUp:
                hangUp();
                break;
            default:
                Ignore(signal);
                break;
        }
    }

    // A terminal sends Ctrl-C to its whole foreground group, and whoever started us sends it on: that is one wish, told twice.
    private void Interrupt(Moment now)
    {
        bool isSecond = _interruptedAt is { } first && now - first >= Limits.OneInterrupt;
        _interruptedAt ??= now;
        events.Feed(new Event.ShutdownAsked("SIGINT", isSecond));
    }

    private void Ignore(int signal)
    {
        counters.Count("signals-ignored");
        // A timer of whoever started us, or a stranger, may send them for ever: the log has each of them once.
        ulong bit = 1UL << (signal - 1);
        if ((_told & bit) == 0)
            SupervisorLog.SignalIgnored(logger, new SignalNumber(signal).ToString());
        _told |= bit;
    }
}
