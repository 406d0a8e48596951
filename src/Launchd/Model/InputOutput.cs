namespace Launchd.Model;

/// <summary>What a program's standard input is. A closed family.</summary>
internal abstract record InputSource
{
    private InputSource()
    {
    }

    internal sealed record Null : InputSource
    {
        public static readonly Null Value = new();
    }

    /// <summary>Nothing ever comes, and it never ends: for programs that end with their standard input.</summary>
    internal sealed record Open : InputSource
    {
        public static readonly Open Value = new();
    }

    internal sealed record File(string FilePath) : InputSource;

    /// <summary>inetd: the connection, or the one listener, is descriptor 0.</summary>
    internal sealed record Socket : InputSource
    {
        public static readonly Socket Value = new();
    }
}

/// <summary>Where a program's standard output or error goes. A closed family.</summary>
internal abstract record OutputTarget
{
    private OutputTarget()
    {
    }

    /// <summary>Captured by the supervisor's log pump.</summary>
    internal sealed record Log : OutputTarget
    {
        public static readonly Log Value = new();
    }

    /// <summary>The supervisor's own descriptor of that number.</summary>
    internal sealed record Inherit : OutputTarget
    {
        public static readonly Inherit Value = new();
    }

    internal sealed record Null : OutputTarget
    {
        public static readonly Null Value = new();
    }

    /// <summary>Opened for appending, made with mode 0640 if missing.</summary>
    internal sealed record File(string FilePath) : OutputTarget;

    internal sealed record Socket : OutputTarget
    {
        public static readonly Socket Value = new();
    }
}
