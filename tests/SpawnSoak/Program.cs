using Launchd.Client;
using Launchd.Linux.Paths;
using Launchd.Linux.Spawning;
using Launchd.SpawnSoak;

// The helper's entry stands first, as in the daemon.
if (args is [PlanHelper.Word, var plan])
    return PlanHelper.Run(plan);
// SpawnSoak [BIRTHS] [exec] [thread]: by a helper; from a thread that is younger than the spawner.
int births = args.Length > 0 ? int.Parse(args[0]) : 1000;
SpawnCarrier carrier = args.Contains("exec") ? SpawnCarrier.Exec : SpawnCarrier.Clone;
using Spawner spawner = new(Files.Open(null, "/dev/null", 2, 0, out Errno _)!, carrier);
long started = Environment.TickCount64;
SoakResult result = args.Contains("thread") ? Soak.RunOnThread(spawner, births) : Soak.Run(spawner, births);
Console.WriteLine($"{result} by {spawner.Carrier}, {(Environment.TickCount64 - started) / (double)births:0.00} ms each");
return result is { Failures: 0, LeakedDescriptors: 0 } ? 0 : 1;
