using System.Globalization;
using Launchd.Interop;

namespace Launchd.Linux.Spawning;

/// <summary>
/// The helper's side of <see cref="SpawnCarrier.Exec"/>: a process of this program that becomes one child. It reads the plan from a
/// descriptor, reports that it runs, and carries the plan out as a clone would; a failure is reported through the same pipe.
/// </summary>
internal static unsafe class PlanHelper
{
    /// <summary>The first argument; the number of the plan's descriptor follows.</summary>
    public const string Word = "--carry-out-plan";

    /// <summary>Written before the first step: from then on an end of the pipe without a report means that the program runs.</summary>
    public const byte Running = (byte)'r';

    private const int NotAPlan = 64;
    private const int F_SETFD = 2, FD_CLOEXEC = 1;

    /// <summary>Carries out the plan; comes back only if there is none.</summary>
    public static int Run(string number)
    {
        if (!int.TryParse(number, NumberStyles.None, CultureInfo.InvariantCulture, out int descriptor))
            return NotAPlan;
        PlanHeader* plan = PlanImage.Read(descriptor);
        if (plan == null || plan->Report == 0 || Libc.fcntl(plan->Report, F_SETFD, FD_CLOEXEC) < 0)
            return NotAPlan;
        byte running = Running;
        if (Libc.write(plan->Report, &running, 1) != 1)
            return NotAPlan;
        Spawner.CarryOut(plan);
        return NotAPlan;
    }
}
