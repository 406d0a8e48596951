using System.Collections.Immutable;
using Launchd.Model;

namespace Launchd.Tests.Simulation;

/// <summary>
/// Adds to drawn configurations what a file may say of its services' order at worst: circles of wishes, long chains, wide fans.
/// </summary>
internal static class Shapes
{
    private const int MostExtras = 12;

    /// <summary>
    /// A service that is the same object in two configurations is so afterwards as well, if nothing different was added to it.
    /// </summary>
    public static List<SupervisorDefinition> Entangle(List<SupervisorDefinition> all, SeededRandom random)
    {
        int kind = random.Between(0, 19);
        // Wishes first: any service may want any other, and itself.
        (string From, string To)[] wishes = kind < 12 ? Wishes(random) : [];
        ServiceDefinition[] extras = kind switch
        {
            12 or 13 => Chain(random),
            14 => Fan(random, isIn: false),
            15 => Fan(random, isIn: true),
            _ => [],
        };
        int from = random.Between(0, all.Count - 1), to = random.Between(from, all.Count - 1);
        Dictionary<ServiceDefinition, ServiceDefinition> made = new(ReferenceEqualityComparer.Instance);
        List<SupervisorDefinition> entangled = [];
        for (int i = 0; i < all.Count; i++)
        {
            HashSet<string> names = [.. all[i].Services.Select(s => s.Name.Text)];
            List<ServiceDefinition> services = [];
            foreach (ServiceDefinition service in all[i].Services)
            {
                ServiceName[] wanted =
                    [.. wishes.Where(w => w.From == service.Name.Text && names.Contains(w.To)).Select(w => new ServiceName(w.To))];
                if (!made.TryGetValue(service, out ServiceDefinition? known) || !known.Wants.SequenceEqual(service.Wants.Union(wanted)))
                    made[service] = known = wanted.Length == 0 ? service : service with { Wants = [.. service.Wants.Union(wanted)] };
                services.Add(known);
            }
            if (i >= from && i <= to)
                services.AddRange(extras);
            entangled.Add(all[i] with { Services = [.. services] });
        }
        return entangled;
    }

    private static (string From, string To)[] Wishes(SeededRandom random) =>
        [.. Enumerable.Range(0, random.Between(1, 8)).Select(_ => ($"s{random.Between(0, 5)}", $"s{random.Between(0, 5)}")).Distinct()];

    private static ServiceDefinition[] Chain(SeededRandom random)
    {
        bool isManual = random.Chance(30), isRing = random.Chance(50);
        int count = random.Between(3, MostExtras);
        return [.. Enumerable.Range(0, count).Select(i => Extra(random, i, i == 0 ? [] : [Name(i - 1)]) with
        {
            Wants = isRing && i == 0 ? [Name(count - 1)] : [],
            Start = i == 0 || !isManual ? StartKind.Boot : StartKind.Manual,
        })];
    }

    private static ServiceDefinition[] Fan(SeededRandom random, bool isIn)
    {
        int count = random.Between(3, MostExtras);
        return [.. Enumerable.Range(0, count)
            .Select(i => Extra(random, i, isIn
                ? (i == count - 1 ? [.. Enumerable.Range(0, i).Select(Name)] : [])
                : i == 0 ? [] : [Name(0)]))];
    }

    private static ServiceDefinition Extra(SeededRandom random, int number, ImmutableArray<ServiceName> requires) => new()
    {
        Name = Name(number),
        Command = ["program"],
        Execution = new Execution { Environment = [], WorkingDirectory = "/" },
        Update = random.Pick(UpdateKind.Overlap, UpdateKind.Replace),
        Requires = random.Chance(90) ? requires : [],
        After = requires,
        Ready = random.Pick<Readiness>(Readiness.Spawned.Value, Readiness.Notify.Value),
        ReadyTimeout = TimeSpan.FromSeconds(5),
        Restart = random.Pick(RestartKind.Always, RestartKind.OnFailure, RestartKind.Never),
        Backoff = new BackoffPolicy { Initial = TimeSpan.FromMilliseconds(random.Pick(0, 100)), Jitter = 0 },
        StartLimit = new RateLimit(random.Pick(1, 3), TimeSpan.FromSeconds(10)),
        Stop = new StopPolicy { Timeout = TimeSpan.FromSeconds(1), Command = [], Kill = KillScope.Process },
    };

    private static ServiceName Name(int number) => new($"x{number}");
}
