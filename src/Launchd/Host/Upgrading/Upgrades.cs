using Launchd.Client;
using Launchd.Host.Keeping;
using Launchd.Host.Lanes;
using Launchd.Host.Loop;
using Launchd.Host.Reporting;
using Launchd.Interop;
using Launchd.Keeper;
using Launchd.Linux.Loop;
using Microsoft.Extensions.Logging;

namespace Launchd.Host.Upgrading;

/// <summary>
/// Another program in this supervisor's place. It is opened beside the loop, the keeper has it prove itself while this supervisor serves
/// on, and then this one ends between two turns without undoing anything. Until then nothing is changed. For the loop's thread.
/// </summary>
/// <param name="keeper">Null: there is none, and every upgrade is refused.</param>
/// <param name="state">Null: as without a keeper.</param>
/// <param name="findDistrust">As <see cref="UpgradeProgram.Open"/> wants it.</param>
/// <param name="mailbox">Of the loop.</param>
/// <param name="delays">Of the loop.</param>
/// <param name="orders">Of the loop.</param>
/// <param name="journal">Is told of refusals.</param>
/// <param name="logger">Of the supervisor.</param>
internal sealed class Upgrades(
    KeeperLink? keeper, StateWriter? state, Func<string, string?> findDistrust, Mailbox mailbox, Delays delays, LoopOrders orders,
    Journal journal, ILogger logger)
{
    /// <summary>By this name the keeper holds the connection of whoever waits for the verdict.</summary>
    public const string CallerName = "upgrade.caller";

    private static readonly TimeSpan OpenPatience = TimeSpan.FromSeconds(10);

    /// <summary>The keeper has a limit of its own; this is for one that knows no upgrades, because it is older.</summary>
    private static readonly TimeSpan TrialPatience = TimeSpan.FromSeconds(30);

    private static readonly TimeSpan QuietPatience = TimeSpan.FromSeconds(10);

    private readonly Offload _offload = new(mailbox);
    private IUpgradeCaller? _caller;
    private string _path = "";
    private string _version = "";

    /// <summary>What this supervisor has begun and another could not go on with, as a clause; null: nothing.</summary>
    public Func<string?> UnderWay { get; set; } = () => null;

    /// <summary>The supervisor ends all services, and then itself.</summary>
    public Func<bool> IsShuttingDown { get; set; } = () => false;

    /// <summary>Writes out what was said, before the end.</summary>
    public Action? Drain { get; set; }

    /// <summary>Orders an upgrade.</summary>
    /// <param name="path">Absolute; null: that of the program as it was started, at which there may be another file by now.</param>
    /// <param name="caller">Is told if it is refused. If not, the next supervisor answers on its connection.</param>
    public void Ask(string? path, IUpgradeCaller caller)
    {
        if (_caller is not null)
        {
            caller.Refuse("another upgrade is under way: try again when it is over", mayTryAgain: true);
            return;
        }
        _caller = caller;
        _path = path ?? UpgradeProgram.OwnPath ?? "";
        if ((WhyNotAtAll ?? (_path.Length == 0 ? "where this program is does not stand in /proc/self/exe: name one (--binary)" : null))
            is { } why)
        {
            Refuse(why);
            return;
        }
        bool isBegun = _offload.TryRun(
            Open, defect => new OpenedProgram(null, $"{_path} cannot be opened: {defect.Message}"), opened => Opened(opened, caller));
        if (isBegun)
            delays.After(OpenPatience, this, () => Refuse($"{_path} was not opened in {Seconds(OpenPatience)}: its file system hangs"));
        else
            Refuse(Worker.Refusal);
    }

    /// <summary>The keeper tells what became of the program.</summary>
    public void Note(Trial tried)
    {
        if (_caller is null || _version.Length > 0)
            return;
        if (tried.WhyNot is { } why)
        {
            Refuse($"{_path}: {why}", mayTryAgain: tried.Outcome == TrialOutcome.Busy);
            return;
        }
        _version = tried.Text;
        delays.After(QuietPatience, this, () => Refuse(
            $"{UnderWay() ?? "something"} has been under way for {Seconds(QuietPatience)}: try again", mayTryAgain: true));
        // Not now: this may be in the middle of a turn, with steps still to be taken.
        orders.EachTurn = HandOverIfQuiet;
    }

    private string? WhyNotAtAll =>
        keeper is null
            ? "this supervisor has no keeper, which would hold everything meanwhile: write keeper = true in [supervisor], and restart it"
            : keeper.IsGone ? "this supervisor's keeper has died, which would hold everything meanwhile: after SIGKILL of the supervisor "
                + $"(pid {Environment.ProcessId}) the next 'run' adopts what it has, with another keeper"
            : IsShuttingDown() ? "the supervisor is shutting down"
            : state is not { IsHeld: true } ? "the supervisor's state is not written down, so that nobody could go on with it: see its log"
            : null;

    private static string Seconds(TimeSpan time) => $"{time.TotalSeconds:0} s";

    private OpenedProgram Open() => UpgradeProgram.Open(_path, findDistrust);

    private void Opened(OpenedProgram opened, IUpgradeCaller caller)
    {
        using FileDescriptor? file = opened.File;
        // It may have taken too long, and another may have been ordered since.
        if (_caller != caller)
            return;
        delays.Cancel(this);
        if ((WhyNotAtAll ?? opened.Why) is { } why)
            Refuse(why);
        else if (keeper!.Try(file!) is { Value: not 0 } refused)
            Refuse($"the keeper cannot be asked: {refused.Text}", mayTryAgain: true);
        else
            delays.After(TrialPatience, this, () => Refuse("the keeper does not answer: it is older, and cannot upgrade; restart it"));
    }

    private void HandOverIfQuiet()
    {
        if (WhyNotAtAll is { } why)
            Refuse(why);
        else if (UnderWay() is null)
            HandOver();
    }

    private void HandOver()
    {
        SupervisorLog.HandsOver(logger, _path, ProductVersion.Text, _version);
        if (_caller!.Connection is { } connection)
            _ = keeper!.Store(CallerName, connection);
        state!.NoteHandOver(ProductVersion.Text);
        Drain?.Invoke();
        // Lines of readiness that were read meanwhile, and the like.
        mailbox.Deliver();
        keeper!.HandOver();
        // Nothing is undone on the way out: the next supervisor goes on with all of it.
        _ = Libc.syscall(SystemCallNumbers.exit_group, 0, 0, 0, 0, 0, 0);
    }

    private void Refuse(string reason, bool mayTryAgain = false)
    {
        if (_caller is not { } caller)
            return;
        _caller = null;
        _version = "";
        orders.EachTurn = null;
        delays.Cancel(this);
        journal.Add(new UpgradeRefused(reason));
        SupervisorLog.NotUpgraded(logger, reason);
        caller.Refuse(reason, mayTryAgain);
    }
}
