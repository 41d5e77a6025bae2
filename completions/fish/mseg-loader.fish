# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_mseg_loader_global_optspecs
    string join \n j/json p/pretty q/quiet v/verbose instance= bpffs= h/help V/version
end

function __fish_mseg_loader_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_mseg_loader_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_mseg_loader_using_subcommand
    set -l cmd (__fish_mseg_loader_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c mseg-loader -n "__fish_mseg_loader_needs_command" -l instance -d 'The instance to work on' -r
complete -c mseg-loader -n "__fish_mseg_loader_needs_command" -l bpffs -d 'Where the BPF file system is mounted' -r -f -a "(__fish_complete_directories)"
complete -c mseg-loader -n "__fish_mseg_loader_needs_command" -s j -l json -d 'Print JSON; an error is one line of JSON on standard error'
complete -c mseg-loader -n "__fish_mseg_loader_needs_command" -s p -l pretty -d 'Print JSON with line breaks and indentation'
complete -c mseg-loader -n "__fish_mseg_loader_needs_command" -s q -l quiet -d 'Print nothing but errors'
complete -c mseg-loader -n "__fish_mseg_loader_needs_command" -s v -l verbose -d 'Say more on standard error; twice for even more'
complete -c mseg-loader -n "__fish_mseg_loader_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mseg-loader -n "__fish_mseg_loader_needs_command" -s V -l version -d 'Print version'
complete -c mseg-loader -n "__fish_mseg_loader_needs_command" -f -a "attach" -d 'Attach to interfaces; makes the instance if there is none'
complete -c mseg-loader -n "__fish_mseg_loader_needs_command" -f -a "detach" -d 'Detach from interfaces'
complete -c mseg-loader -n "__fish_mseg_loader_needs_command" -f -a "status" -d 'Show what is loaded and attached'
complete -c mseg-loader -n "__fish_mseg_loader_using_subcommand attach" -l policy -d 'The policy to make active, from a file (- for standard input) [default: as it is; at first one that allows all]' -r -F
complete -c mseg-loader -n "__fish_mseg_loader_using_subcommand attach" -l mode -d 'What becomes of packets that are denied [default: as it is; at first observe]' -r -f -a "observe\t'Decide, count and report, but drop nothing'
enforce\t'Drop what is denied'"
complete -c mseg-loader -n "__fish_mseg_loader_using_subcommand attach" -l role -d 'Which side of the interfaces is protected' -r -f -a "host\t'The host: what arrives at the interface is direction "in"'
workload\t'The workload behind it, as at the host\'s end of a veth pair: what arrives is direction "out"'"
complete -c mseg-loader -n "__fish_mseg_loader_using_subcommand attach" -l hook -d 'How to attach' -r -f -a "auto\t'TCX where the kernel has it'
tcx\t'Pinned TCX links (Linux 6.6 and later)'
clsact\t'Filters on the clsact qdisc'"
complete -c mseg-loader -n "__fish_mseg_loader_using_subcommand attach" -l midstream -d 'What becomes of TCP packets of unknown sessions [default: as it is; at first grace]' -r -f -a "grace\t'Judged as if it opened a session for some time after attach, then denied'
strict\t'Denied'
pickup\t'Always judged as if it opened a session'"
complete -c mseg-loader -n "__fish_mseg_loader_using_subcommand attach" -l half-open-per-source -d 'About how many half-open sessions one source may have, 0 for any number [default: as it is; at first 1024]' -r
complete -c mseg-loader -n "__fish_mseg_loader_using_subcommand attach" -l grace -d 'The length of the grace period, which starts anew with every interface' -r
complete -c mseg-loader -n "__fish_mseg_loader_using_subcommand attach" -l instance -d 'The instance to work on' -r
complete -c mseg-loader -n "__fish_mseg_loader_using_subcommand attach" -l bpffs -d 'Where the BPF file system is mounted' -r -f -a "(__fish_complete_directories)"
complete -c mseg-loader -n "__fish_mseg_loader_using_subcommand attach" -l adopt -d 'Make sessions for the connections that are open already, and fail if they cannot be read [default: as far as they can be read]'
complete -c mseg-loader -n "__fish_mseg_loader_using_subcommand attach" -l no-adopt -d 'Make none: what becomes of open connections is up to --midstream'
complete -c mseg-loader -n "__fish_mseg_loader_using_subcommand attach" -l force -d 'Attach even if it cuts off your own connection'
complete -c mseg-loader -n "__fish_mseg_loader_using_subcommand attach" -s j -l json -d 'Print JSON; an error is one line of JSON on standard error'
complete -c mseg-loader -n "__fish_mseg_loader_using_subcommand attach" -s p -l pretty -d 'Print JSON with line breaks and indentation'
complete -c mseg-loader -n "__fish_mseg_loader_using_subcommand attach" -s q -l quiet -d 'Print nothing but errors'
complete -c mseg-loader -n "__fish_mseg_loader_using_subcommand attach" -s v -l verbose -d 'Say more on standard error; twice for even more'
complete -c mseg-loader -n "__fish_mseg_loader_using_subcommand attach" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mseg-loader -n "__fish_mseg_loader_using_subcommand detach" -l instance -d 'The instance to work on' -r
complete -c mseg-loader -n "__fish_mseg_loader_using_subcommand detach" -l bpffs -d 'Where the BPF file system is mounted' -r -f -a "(__fish_complete_directories)"
complete -c mseg-loader -n "__fish_mseg_loader_using_subcommand detach" -l all -d 'Detach from all interfaces and remove the instance, in whatever state it is'
complete -c mseg-loader -n "__fish_mseg_loader_using_subcommand detach" -s j -l json -d 'Print JSON; an error is one line of JSON on standard error'
complete -c mseg-loader -n "__fish_mseg_loader_using_subcommand detach" -s p -l pretty -d 'Print JSON with line breaks and indentation'
complete -c mseg-loader -n "__fish_mseg_loader_using_subcommand detach" -s q -l quiet -d 'Print nothing but errors'
complete -c mseg-loader -n "__fish_mseg_loader_using_subcommand detach" -s v -l verbose -d 'Say more on standard error; twice for even more'
complete -c mseg-loader -n "__fish_mseg_loader_using_subcommand detach" -s h -l help -d 'Print help'
complete -c mseg-loader -n "__fish_mseg_loader_using_subcommand status" -l instance -d 'The instance to work on' -r
complete -c mseg-loader -n "__fish_mseg_loader_using_subcommand status" -l bpffs -d 'Where the BPF file system is mounted' -r -f -a "(__fish_complete_directories)"
complete -c mseg-loader -n "__fish_mseg_loader_using_subcommand status" -s j -l json -d 'Print JSON; an error is one line of JSON on standard error'
complete -c mseg-loader -n "__fish_mseg_loader_using_subcommand status" -s p -l pretty -d 'Print JSON with line breaks and indentation'
complete -c mseg-loader -n "__fish_mseg_loader_using_subcommand status" -s q -l quiet -d 'Print nothing but errors'
complete -c mseg-loader -n "__fish_mseg_loader_using_subcommand status" -s v -l verbose -d 'Say more on standard error; twice for even more'
complete -c mseg-loader -n "__fish_mseg_loader_using_subcommand status" -s h -l help -d 'Print help'
