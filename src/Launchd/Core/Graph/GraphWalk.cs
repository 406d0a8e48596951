namespace Launchd.Core.Graph;

/// <summary>
/// Follows edges from service to service, each service once and without recursion: a file may hold a chain that is longer than any stack,
/// and a circle of <c>wants</c> is legal.
/// </summary>
internal sealed class GraphWalk(int serviceCount)
{
    // By service: the number of the walk that found it last. So nothing has to be cleared after a walk, not even after one that threw.
    private readonly long[] _foundIn = new long[serviceCount];
    private readonly Stack<(int Service, int Next)> _path = [];
    private long _walk;

    /// <summary>
    /// A service and all that can be reached from it, the farthest first: except in circles, a service comes
    /// after all services to which its edges lead.
    /// </summary>
    /// <param name="first">Where the walk begins; it is always part of the answer.</param>
    /// <param name="edges">By service: the services to which its edges lead.</param>
    /// <param name="enters">Whether the walk enters a service, and so goes beyond it. Must not begin a walk itself.</param>
    public List<int> From(int first, int[][] edges, Func<int, bool> enters)
    {
        List<int> found = [];
        _path.Clear();
        _foundIn[first] = ++_walk;
        _path.Push((first, 0));
        while (_path.TryPop(out (int Service, int Next) at))
        {
            if (at.Next == edges[at.Service].Length)
            {
                found.Add(at.Service);
                continue;
            }
            _path.Push((at.Service, at.Next + 1));
            int next = edges[at.Service][at.Next];
            if (_foundIn[next] == _walk || !enters(next))
                continue;
            _foundIn[next] = _walk;
            _path.Push((next, 0));
        }
        return found;
    }
}
