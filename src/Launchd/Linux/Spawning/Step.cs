namespace Launchd.Linux.Spawning;

/// <summary>One step of a plan, in native memory.</summary>
internal struct Step
{
    public StepKind Kind;
    public SpawnStage Stage;
    public nint Number;
    public nint A0;
    public nint A1;
    public nint A2;
    public nint A3;
    public nint A4;
}
