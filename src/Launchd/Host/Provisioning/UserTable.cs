using Launchd.Control;
using Launchd.Host.Reporting;
using Launchd.Interop;
using Launchd.Linux.Paths;
using Launchd.Linux.Processes;
using Launchd.Logs;
using Launchd.Model;

namespace Launchd.Host.Provisioning;

/// <summary>The user as whom a service runs. <see cref="Credentials"/> is null where that is the supervisor's own.</summary>
internal sealed record ResolvedUser(Credentials? Credentials, string? Name, string? Home, string? Shell, string? Problem);

/// <summary>
/// Users and groups of one configuration, looked up once and not on the loop, because a look-up may wait for a directory service. The
/// owners of files that are opened anew for each instance are asked for later on the loop, so they are looked up with the rest.
/// </summary>
internal sealed class UserTable
{
    private readonly Dictionary<Execution, ResolvedUser> _users = new(ReferenceEqualityComparer.Instance);
    private readonly Dictionary<string, LookupResult<UserRecord>> _records = [];
    private readonly Dictionary<string, LookupResult<uint>> _groups = [];

    public UserTable(SupervisorDefinition definition)
    {
        foreach (ServiceDefinition service in definition.Services)
        {
            _users.TryAdd(service.Execution, Resolve(service.Execution));
            if (service.Log is { } log)
                _ = OwnerOf(log);
        }
        foreach (FileDefinition.Opened file in definition.Files.OfType<FileDefinition.Opened>())
        {
            if (file.User is { } user)
                _ = FindUser(user);
            if (file.Group is { } group)
                _ = FindGroup(group);
        }
    }

    public ResolvedUser this[Execution execution] => _users[execution];

    /// <summary>Looks the user up of a service that is not of the configuration (any more).</summary>
    public void Add(ServiceDefinition former)
    {
        if (!_users.ContainsKey(former.Execution))
            _users.Add(former.Execution, Resolve(former.Execution));
        if (former.Log is { } log)
            _ = OwnerOf(log);
    }

    /// <exception cref="StartRefusedException">No such user or group.</exception>
    public PathOwner OwnerOf(string what, string? user, string? group)
    {
        uint? uid = null, gid = null;
        if (user is not null)
        {
            LookupResult<UserRecord> found = FindUser(user);
            if (!found.IsFound)
            {
                string reason = found.IsMissing ? "there is no such user" : found.Errno.Text;
                throw new StartRefusedException($"{what}: user \"{user}\": {reason}", ExitCode.SystemRefused);
            }
            uid = found.Value!.Uid;
            gid = found.Value.Gid;
        }
        if (group is not null)
        {
            LookupResult<uint> found = FindGroup(group);
            if (!found.IsFound)
            {
                string reason = found.IsMissing ? "there is no such group" : found.Errno.Text;
                throw new StartRefusedException($"{what}: group \"{group}\": {reason}", ExitCode.SystemRefused);
            }
            gid = found.Value;
        }
        return uid == Libc.geteuid() && (gid is null || gid == Libc.getegid()) ? PathOwner.Own : new PathOwner(uid, gid);
    }

    /// <summary>Who gets a log file that is made. A user or group that is not there costs no line: it is the supervisor's then.</summary>
    public LogFileOwner OwnerOf(LogPolicy log)
    {
        try
        {
            PathOwner owner = OwnerOf("log", log.User, log.Group);
            // Who is named is meant, though the supervisor makes files as the same user: the file before may be somebody else's.
            return new LogFileOwner(log.User is not null && owner.IsOwn ? new PathOwner(Libc.geteuid(), Libc.getegid()) : owner, null);
        }
        catch (StartRefusedException missing)
        {
            return new LogFileOwner(PathOwner.Own, missing.Message);
        }
    }

    private ResolvedUser Resolve(Execution execution)
    {
        if (execution.User is null && execution.Group is null && execution.SupplementaryGroups.IsEmpty)
            return new ResolvedUser(null, null, null, null, null);
        string user = execution.User ?? Libc.geteuid().ToString();
        LookupResult<UserRecord> found = FindUser(user);
        if (!found.IsFound)
            return Problem($"user \"{user}\": {(found.IsMissing ? "there is no such user" : found.Errno.Text)}");
        UserRecord record = found.Value!;
        uint gid = record.Gid;
        if (execution.Group is { } group)
        {
            LookupResult<uint> number = FindGroup(group);
            if (!number.IsFound)
                return Problem($"group \"{group}\": {(number.IsMissing ? "there is no such group" : number.Errno.Text)}");
            gid = number.Value;
        }
        List<uint> groups = record.Name is null ? [gid] : [.. Identity.GroupsOf(record.Name, gid)];
        foreach (string name in execution.SupplementaryGroups)
        {
            LookupResult<uint> number = FindGroup(name);
            if (!number.IsFound)
                return Problem($"group \"{name}\": {(number.IsMissing ? "there is no such group" : number.Errno.Text)}");
            groups.Add(number.Value);
        }
        // The service is to run as the supervisor does: an unprivileged supervisor may not even set the groups that it has (setgroups(2)).
        bool isSelf = record.Uid == Libc.geteuid() && gid == Libc.getegid() && execution.SupplementaryGroups.IsEmpty && Libc.geteuid() != 0;
        Credentials? credentials = isSelf ? null : new Credentials(record.Uid, gid, [.. groups.Distinct()]);
        return new ResolvedUser(credentials, record.Name, record.Home, record.Shell, null);
    }

    private LookupResult<UserRecord> FindUser(string name)
    {
        if (!_records.TryGetValue(name, out LookupResult<UserRecord> found))
            _records[name] = found = Identity.FindUser(name);
        return found;
    }

    private LookupResult<uint> FindGroup(string name)
    {
        if (!_groups.TryGetValue(name, out LookupResult<uint> found))
            _groups[name] = found = Identity.FindGroup(name);
        return found;
    }

    private static ResolvedUser Problem(string text) => new(null, null, null, null, text);
}
