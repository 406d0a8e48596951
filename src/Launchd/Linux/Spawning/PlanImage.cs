using System.Runtime.InteropServices;
using Launchd.Client;
using Launchd.Interop;

namespace Launchd.Linux.Spawning;

/// <summary>
/// The head of a plan on its way to a helper; behind it comes the plan's memory as it stood in the supervisor. Addresses in it are told by
/// their value: the memory lies above all numbers that a step may hold.
/// </summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct PlanImage
{
    /// <summary>Changes when the meaning of a step does, so that another version of the program does not carry the plan out.</summary>
    public const long Version = 0x6c63732d706c6e32;

    private const int MostBytes = 64 << 20;
    private const uint MFD_CLOEXEC = 1;

    public long Magic;

    /// <summary>The address of the memory in the supervisor.</summary>
    public nint Base;
    public nint Length;

    /// <summary>Distance of the header from the beginning of the memory.</summary>
    public nint Header;

    /// <summary>
    /// Reads a plan and makes it valid at its new place, which is never freed: the process has no
    /// other purpose. Null: there is no valid plan.
    /// </summary>
    public static PlanHeader* Read(int descriptor)
    {
        PlanImage image;
        if (Libc.pread(descriptor, &image, (nuint)sizeof(PlanImage), 0) != sizeof(PlanImage) || image.Magic != Version
            || image.Length <= 0 || image.Length > MostBytes || image.Header < 0 || image.Header > image.Length - sizeof(PlanHeader))
        {
            return null;
        }
        byte* memory = (byte*)NativeMemory.Alloc((nuint)image.Length);
        for (nint got = 0, more; got < image.Length; got += more)
        {
            more = Libc.pread(descriptor, memory + got, (nuint)(image.Length - got), sizeof(PlanImage) + got);
            if (more <= 0)
                return null;
        }
        PlanHeader* header = (PlanHeader*)(memory + image.Header);
        nint moved = (nint)memory - image.Base;
        header->Steps = (Step*)((nint)header->Steps + moved);
        for (int i = 0; i < header->Count; i++)
            image.Move(header->Steps + i, moved);
        return header;
    }

    /// <summary>Writes the plan's memory behind this head. Owned by the caller; null: refused, for the reason given.</summary>
    public readonly FileDescriptor? Write(out Errno refused)
    {
        int number;
        fixed (byte* name = "plan\0"u8)
            number = Libc.memfd_create(name, MFD_CLOEXEC);
        if (number < 0)
        {
            refused = Errno.Last;
            return null;
        }
        FileDescriptor memory = new(number);
        PlanImage head = this;
        refused = WriteAll(number, (byte*)&head, sizeof(PlanImage));
        if (refused == Errno.None)
            refused = WriteAll(number, (byte*)Base, Length);
        if (refused == Errno.None)
            return memory;
        memory.Dispose();
        return null;
    }

    private readonly void Move(Step* step, nint by)
    {
        nint* words = &step->A0;
        for (int i = 0; i < 5; i++)
        {
            if (IsAddress(words[i]))
                words[i] += by;
        }
        if (step->Kind != StepKind.Exec)
            return;
        for (int i = 0; i < 3; i++)
        {
            for (nint* text = (nint*)words[i]; *text != 0; text++)
                *text += by;
        }
    }

    private readonly bool IsAddress(nint word) => word >= Base && word < Base + Length;

    private static Errno WriteAll(int descriptor, byte* bytes, nint length)
    {
        for (nint written = 0, more; written < length; written += more)
        {
            more = Libc.write(descriptor, bytes + written, (nuint)(length - written));
            if (more < 0)
                return Errno.Last;
        }
        return Errno.None;
    }
}
