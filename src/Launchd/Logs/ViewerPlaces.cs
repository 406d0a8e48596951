namespace Launchd.Logs;

/// <summary>
/// Counts the viewers of all terminals who are neither root nor the supervisor's own user: each costs a descriptor, and what is sent to it
/// and not read. Belongs to the pump's thread.
/// </summary>
internal sealed class ViewerPlaces
{
    public const int MostStrangers = 32;

    public int Strangers { get; set; }

    public bool AreTaken => Strangers >= MostStrangers;
}
