using Launchd.Cli.Surroundings;
using Launchd.Control;

namespace Launchd.Cli.Verbs;

/// <summary><c>completion</c>: prints a script that asks this command what may stand at the cursor (<c>Suggestions</c>).</summary>
internal static class CompletionCommand
{
    /// <summary>Bash splits words at <c>: = @</c> too, so the part before the last of these is removed from the answers.</summary>
    private const string Bash = """
        # launchd-cs completion for bash. Load it with: source <(launchd-cs completion bash)
        _launchd_cs() {
            local line=${COMP_LINE:0:COMP_POINT} cur=${COMP_WORDS[COMP_CWORD]} IFS=$'\n'
            local word=${line##* }
            COMPREPLY=($("$1" "[suggest:${#line}]" "$line" 2>/dev/null))
            COMPREPLY=("${COMPREPLY[@]#"${word%"$cur"}"}")
            if [[ ${#COMPREPLY[@]} -eq 0 && ${COMP_WORDS[1]} == @(run|check) ]]; then
                compopt -o default
            fi
        }
        complete -F _launchd_cs launchd-cs
        """;

    private const string Zsh = """
        #compdef launchd-cs
        # launchd-cs completion for zsh. Load it with: source <(launchd-cs completion zsh)
        _launchd_cs() {
            local line="${(j: :)words[1,CURRENT]}"
            local -a found
            found=(${(f)"$("${words[1]}" "[suggest:${#line}]" "$line" 2>/dev/null)"})
            if (( ${#found} )); then
                compadd -- $found
            elif [[ ${words[2]} == (run|check) ]]; then
                _files
            fi
        }
        compdef _launchd_cs launchd-cs
        """;

    private const string Fish = """
        # launchd-cs completion for fish. Load it with: launchd-cs completion fish | source
        function __launchd_cs
            set -l line (commandline -cp)
            launchd-cs "[suggest:"(string length -- "$line")"]" "$line" 2>/dev/null
        end
        complete -c launchd-cs -f -a '(__launchd_cs)'
        complete -c launchd-cs -n '__fish_seen_subcommand_from run check' -F
        """;

    public static readonly string[] Shells = ["bash", "zsh", "fish"];

    public static ExitCode Run(CliContext context, string? shell)
    {
        context.Output.WriteLine(shell switch
        {
            "bash" => Bash,
            "zsh" => Zsh,
            "fish" => Fish,
            null => throw new CliException(ExitCode.Usage, "completion needs the name of a shell: bash, zsh or fish"),
            _ => throw new CliException(
                ExitCode.Usage, $"there is no completion for '{TerminalText.Escape(shell)}', only for bash, zsh and fish"),
        });
        return ExitCode.Done;
    }
}
