using Microsoft.Extensions.Logging;

namespace Launchd.Host.Reporting;

/// <summary>
/// The supervisor's own log: one sentence each, lower case, names in single quotes. Event ids in bands: 1000 supervisor, 2000 services,
/// 3000 descriptors, 4000 control, 5000 configuration.
/// </summary>
internal static partial class SupervisorLog
{
    [LoggerMessage(1001, LogLevel.Information, "'{name}' runs as pid {pid}, {services} {noun}, control socket {socket}")]
    public static partial void Running(ILogger logger, string name, int pid, int services, string noun, string socket);

    [LoggerMessage(1024, LogLevel.Warning, "goes on where the supervisor before it ended, with {count} running instances")]
    public static partial void WentOn(ILogger logger, int count);

    [LoggerMessage(1002, LogLevel.Information, "shutting down: {reason}")]
    public static partial void ShuttingDown(ILogger logger, string reason);

    [LoggerMessage(1003, LogLevel.Information, "ended with code {code}")]
    public static partial void Ended(ILogger logger, int code);

    [LoggerMessage(1004, LogLevel.Warning, "signal {signal} means nothing to the supervisor, ignoring")]
    public static partial void SignalIgnored(ILogger logger, string signal);

    [LoggerMessage(1005, LogLevel.Critical, "a step failed at {what}, '{service}' is set aside")]
    public static partial void StepFailed(ILogger logger, string what, string service, Exception exception);

    [LoggerMessage(1006, LogLevel.Error, "an effect failed: {what}, ignoring")]
    public static partial void EffectFailed(ILogger logger, string what, Exception exception);

    [LoggerMessage(1007, LogLevel.Warning, "{text}")]
    public static partial void Pump(ILogger logger, string text);

    [LoggerMessage(1008, LogLevel.Information, "services are started through a helper, which costs some milliseconds each")]
    public static partial void BirthsByHelper(ILogger logger);

    [LoggerMessage(1009, LogLevel.Information, "{text}")]
    public static partial void PumpTold(ILogger logger, string text);

    [LoggerMessage(1010, LogLevel.Critical, "the supervisor met an error of its own and goes on, please report it ({kind}): {what}")]
    public static partial void MetDefect(ILogger logger, string kind, string what);

    [LoggerMessage(1020, LogLevel.Warning,
        "{fault}: nothing that it says is believed, and of what services start only their process groups are known")]
    public static partial void ForeignProc(ILogger logger, string fault);

    [LoggerMessage(1021, LogLevel.Information, "ending {count} processes that services left behind")]
    public static partial void Sweeping(ILogger logger, int count);

    [LoggerMessage(1022, LogLevel.Error, "{text}, and is left behind")]
    public static partial void Left(ILogger logger, string text);

    [LoggerMessage(1012, LogLevel.Warning, "started anew by the keeper, after the end of the supervisor with {how}")]
    public static partial void Restarted(ILogger logger, string how);

    [LoggerMessage(1028, LogLevel.Warning, "adopts the programs of the supervisor with {how}; its configuration holds until 'reload'")]
    public static partial void Adopts(ILogger logger, string how);

    [LoggerMessage(1029, LogLevel.Debug, "its state has no file in memory: programs are not adopted after the end of all: {why}")]
    public static partial void WithoutState(ILogger logger, string why);

    [LoggerMessage(1030, LogLevel.Warning, "'{instance}' goes on without {what}: lost with the supervisor, until the service is restarted")]
    public static partial void GoesOnWithout(ILogger logger, string instance, string what);

    [LoggerMessage(1025, LogLevel.Information, "hands over to {path}, from version {from} to {to}")]
    public static partial void HandsOver(ILogger logger, string path, string from, string to);

    [LoggerMessage(1026, LogLevel.Information, "upgraded from version {from} to {to}")]
    public static partial void Upgraded(ILogger logger, string from, string to);

    [LoggerMessage(1027, LogLevel.Warning, "not upgraded, nothing was changed: {reason}")]
    public static partial void NotUpgraded(ILogger logger, string reason);

    [LoggerMessage(1011, LogLevel.Warning, "{text}")]
    public static partial void Hindered(ILogger logger, string text);

    [LoggerMessage(1023, LogLevel.Information,
        "the supervisor was stopped or got no processor, for {away} at most: programs have so much more time for what they are to do")]
    public static partial void WasAway(ILogger logger, string away);

    [LoggerMessage(2001, LogLevel.Debug, "'{instance}' started as pid {pid}")]
    public static partial void Spawned(ILogger logger, string instance, int pid);

    [LoggerMessage(2002, LogLevel.Error, "{text}")]
    public static partial void SpawnFailed(ILogger logger, string text);

    [LoggerMessage(2003, LogLevel.Information, "'{instance}' is ready after {after}")]
    public static partial void Ready(ILogger logger, string instance, string after);

    [LoggerMessage(2023, LogLevel.Information, "'{instance}' is completed after {after}")]
    public static partial void Completed(ILogger logger, string instance, string after);

    [LoggerMessage(2004, LogLevel.Information, "'{instance}' stops: {reason}")]
    public static partial void Draining(ILogger logger, string instance, string reason);

    [LoggerMessage(2005, LogLevel.Information, "'{instance}' (pid {pid}) {status}")]
    public static partial void Exited(ILogger logger, string instance, int pid, string status);

    [LoggerMessage(2006, LogLevel.Warning, "'{instance}' (pid {pid}) {status}")]
    public static partial void ExitedBadly(ILogger logger, string instance, int pid, string status);

    [LoggerMessage(2019, LogLevel.Information, "'{instance}': what its main process left is ended with it: {processes}")]
    public static partial void LeftoversEnded(ILogger logger, string instance, string processes);

    [LoggerMessage(2022, LogLevel.Warning, "'{instance}': what its main process left is ended with it: {processes}; "
        + "a child that is to take over must be named by MAINPID= first, and 'restart --overlap' exchanges a program without that")]
    public static partial void HeirsEnded(ILogger logger, string instance, string processes);

    [LoggerMessage(2007, LogLevel.Information, "'{instance}' starts again in {delay}")]
    public static partial void Restarting(ILogger logger, string instance, string delay);

    [LoggerMessage(2008, LogLevel.Error, "'{instance}' failed: {reason}")]
    public static partial void Failed(ILogger logger, string instance, string reason);

    [LoggerMessage(2009, LogLevel.Warning, "'{instance}' (pid {pid}) did not end in time, killing it")]
    public static partial void Killing(ILogger logger, string instance, int pid);

    [LoggerMessage(2010, LogLevel.Debug, "'{instance}' notified: {lines}")]
    public static partial void Notified(ILogger logger, string instance, string lines);

    [LoggerMessage(2011, LogLevel.Warning, "'{instance}': {command} failed: {reason}, ignoring")]
    public static partial void CommandFailed(ILogger logger, string instance, string command, string reason);

    [LoggerMessage(2012, LogLevel.Information, "'{service}': generation {generation} takes over")]
    public static partial void RolloutStarted(ILogger logger, string service, int generation);

    [LoggerMessage(2013, LogLevel.Information, "'{service}': generation {generation} has taken over after {after}")]
    public static partial void RolloutFinished(ILogger logger, string service, int generation, string after);

    [LoggerMessage(2014, LogLevel.Error, "'{service}': generation {generation} is given up, back to {former}: {reason}")]
    public static partial void RolledBack(ILogger logger, string service, int generation, int former, string reason);

    [LoggerMessage(2015, LogLevel.Information, "'{service}' has {count} slots instead of {former}")]
    public static partial void Scaled(ILogger logger, string service, int former, int count);

    [LoggerMessage(2016, LogLevel.Information, "'{instance}' has pid {pid} for its main process now")]
    public static partial void MainChanged(ILogger logger, string instance, int pid);

    [LoggerMessage(2017, LogLevel.Warning, "'{instance}' names a main process that it may not: {reason}, ignoring")]
    public static partial void MainRefused(ILogger logger, string instance, string reason);

    [LoggerMessage(2018, LogLevel.Warning, "'{instance}': {warning}")]
    public static partial void StartedWith(ILogger logger, string instance, string warning);

    [LoggerMessage(2031, LogLevel.Warning, "'{instance}' cannot be sent {signal}: {reason}")]
    public static partial void SignalRefused(ILogger logger, string instance, string signal, string reason);

    [LoggerMessage(2030, LogLevel.Warning,
        "process {pid} ({name}) was left by a service, and by which cannot be told: {why}; it is ended with the supervisor")]
    public static partial void Stray(ILogger logger, int pid, string name, string why);

    [LoggerMessage(3001, LogLevel.Information, "'{service}' is activated by '{socket}'")]
    public static partial void Activated(ILogger logger, string service, string socket);

    [LoggerMessage(3002, LogLevel.Warning, "activation of '{service}' rests for {pause}: {reason}")]
    public static partial void ActivationPaused(ILogger logger, string service, string pause, string reason);

    [LoggerMessage(3003, LogLevel.Information, "activation of '{service}' goes on")]
    public static partial void ActivationResumed(ILogger logger, string service);

    [LoggerMessage(3004, LogLevel.Warning, "descriptor '{name}' of '{instance}' is not stored: {reason}")]
    public static partial void NotStored(ILogger logger, string name, string instance, string reason);

    [LoggerMessage(3008, LogLevel.Warning, "fd_store of '{service}' is {limit} now: of what it holds these are closed: {names}")]
    public static partial void StoreShrunk(ILogger logger, string service, int limit, string names);

    [LoggerMessage(3005, LogLevel.Debug, "descriptor '{name}' of '{instance}' was sent to '{to}' ({way})")]
    public static partial void Sent(ILogger logger, string name, string instance, string to, string way);

    [LoggerMessage(3006, LogLevel.Warning, "'{to}' may not have descriptor '{name}' of '{service}'; this would allow it: {rule}")]
    public static partial void Denied(ILogger logger, string to, string name, string service, string rule);

    [LoggerMessage(3007, LogLevel.Warning, "the channel of '{instance}' is closed: {reason}")]
    public static partial void ChannelClosed(ILogger logger, string instance, string reason);

    [LoggerMessage(5001, LogLevel.Warning, "{diagnostic}")]
    public static partial void Configuration(ILogger logger, string diagnostic);

    [LoggerMessage(2020, LogLevel.Warning, "'{instance}' misses its health check ({failures} of {most}): {text}")]
    public static partial void HealthMissed(ILogger logger, string instance, int failures, int most, string text);

    [LoggerMessage(2021, LogLevel.Information, "'{instance}' answers its health check again")]
    public static partial void HealthBack(ILogger logger, string instance);

    [LoggerMessage(3020, LogLevel.Warning, "listener '{socket}' ({address}) was spoilt by who shares it: {fault}; {remedy}")]
    public static partial void Healed(ILogger logger, string socket, string address, string fault, string remedy);

    [LoggerMessage(3021, LogLevel.Error, "a listener that was spoilt by who shares it cannot be made anew, retrying: {reason}")]
    public static partial void NotHealed(ILogger logger, string reason);

    [LoggerMessage(3023, LogLevel.Warning,
        "the path of listener '{socket}' ({address}) is taken: {by}; remove what lies there, and the path comes back by itself")]
    public static partial void PathTaken(ILogger logger, string socket, string address, string by);

    [LoggerMessage(3024, LogLevel.Warning,
        "the kernel does not tell what happens to the paths of listeners, so they are looked at only before a start: inotify: {reason}")]
    public static partial void PathsNotWatched(ILogger logger, string reason);

    [LoggerMessage(3025, LogLevel.Warning, "somebody removed the runtime directory or what is in it: its {what} is there again ({path})")]
    public static partial void RuntimeDirectoryRestored(ILogger logger, string what, string path);

    [LoggerMessage(3026, LogLevel.Error, "the runtime directory was removed and cannot be made again, retrying: {reason}")]
    public static partial void RuntimeDirectoryLost(ILogger logger, string reason);

    [LoggerMessage(3027, LogLevel.Error, "{count} instances have lost their notify sockets with the runtime directory: restart them")]
    public static partial void NotifyNotRestored(ILogger logger, int count);

    [LoggerMessage(3028, LogLevel.Warning,
        "nobody accepts at '{socket}' ({address}): {count} wait, though {holders} is ready; does it use the descriptor that it was given?")]
    public static partial void NotAccepted(ILogger logger, string socket, string address, int count, string holders);

    [LoggerMessage(3029, LogLevel.Information,
        "'{service}' (pid {pid}) listens at {address}, a port of its own beside the sockets that it was given")]
    public static partial void ListensElsewhere(ILogger logger, string service, int pid, string address);

    [LoggerMessage(3030, LogLevel.Warning,
        "'{socket}' ({address}) is also held by process {pid} ({command}), {whose}: it may take clients from the queue; end it")]
    public static partial void ListenerHeld(ILogger logger, string socket, string address, int pid, string command, string whose);

    [LoggerMessage(3031, LogLevel.Warning,
        "somebody else listens at the port of '{socket}' ({address}, {holder}) and gets a part of its clients: both have SO_REUSEPORT")]
    public static partial void PortShared(ILogger logger, string socket, string address, string holder);

    [LoggerMessage(3022, LogLevel.Warning, "'{socket}' ({address}) is closed while {count} connections wait that nobody is left to accept")]
    public static partial void ClosedWithQueue(ILogger logger, string socket, string address, int count);

    [LoggerMessage(5010, LogLevel.Information, "reloaded {path}: {added} added, {changed} changed, {removed} removed")]
    public static partial void Reloaded(ILogger logger, string path, int added, int changed, int removed);

    [LoggerMessage(5011, LogLevel.Error, "not reloaded, nothing was changed: {reason}")]
    public static partial void ReloadRefused(ILogger logger, string reason);
}
