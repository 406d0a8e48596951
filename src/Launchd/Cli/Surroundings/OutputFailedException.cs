using Launchd.Client;

namespace Launchd.Cli.Surroundings;

/// <summary>Standard output or error does not take what is written: a full disk, a limit on the size of files.</summary>
internal sealed class OutputFailedException(Errno errno) : IOException(errno.Text, errno.Value);
