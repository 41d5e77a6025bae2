# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_msegctl_global_optspecs
    string join \n j/json p/pretty plain no-header q/quiet v/verbose color= instance= bpffs= h/help V/version
end

function __fish_msegctl_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_msegctl_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_msegctl_using_subcommand
    set -l cmd (__fish_msegctl_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c msegctl -n "__fish_msegctl_needs_command" -l color -d 'Colour the text' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c msegctl -n "__fish_msegctl_needs_command" -l instance -d 'The instance to work on' -r
complete -c msegctl -n "__fish_msegctl_needs_command" -l bpffs -d 'Where bpffs is mounted' -r -f -a "(__fish_complete_directories)"
complete -c msegctl -n "__fish_msegctl_needs_command" -s j -l json -d 'Write JSON: one object'
complete -c msegctl -n "__fish_msegctl_needs_command" -s p -l pretty -d 'Write indented JSON'
complete -c msegctl -n "__fish_msegctl_needs_command" -l plain -d 'Write TSV: fields separated by tabs'
complete -c msegctl -n "__fish_msegctl_needs_command" -l no-header -d 'Leave out the header of text and TSV'
complete -c msegctl -n "__fish_msegctl_needs_command" -s q -l quiet -d 'Do not say what a change did'
complete -c msegctl -n "__fish_msegctl_needs_command" -s v -l verbose -d 'Show more columns and details'
complete -c msegctl -n "__fish_msegctl_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c msegctl -n "__fish_msegctl_needs_command" -s V -l version -d 'Print version'
complete -c msegctl -n "__fish_msegctl_needs_command" -f -a "status" -d 'Show whether it works: mode, policy, interfaces, sessions'
complete -c msegctl -n "__fish_msegctl_needs_command" -f -a "doctor" -d 'Check everything that can be wrong, and say what to do'
complete -c msegctl -n "__fish_msegctl_needs_command" -f -a "session" -d 'List, count and delete sessions'
complete -c msegctl -n "__fish_msegctl_needs_command" -f -a "denied" -d 'List what was denied lately'
complete -c msegctl -n "__fish_msegctl_needs_command" -f -a "rule" -d 'List, add and delete rules'
complete -c msegctl -n "__fish_msegctl_needs_command" -f -a "policy" -d 'Apply, check, format, compare and show the policy, and go back to a former one'
complete -c msegctl -n "__fish_msegctl_needs_command" -f -a "mode" -d 'Show or set whether denied packets are dropped'
complete -c msegctl -n "__fish_msegctl_needs_command" -f -a "explain" -d 'Say what becomes of a packet, and why'
complete -c msegctl -n "__fish_msegctl_needs_command" -f -a "stats" -d 'Show the counters'
complete -c msegctl -n "__fish_msegctl_needs_command" -f -a "completions" -d 'Print the completion script for a shell'
complete -c msegctl -n "__fish_msegctl_using_subcommand status" -l color -d 'Colour the text' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c msegctl -n "__fish_msegctl_using_subcommand status" -l instance -d 'The instance to work on' -r
complete -c msegctl -n "__fish_msegctl_using_subcommand status" -l bpffs -d 'Where bpffs is mounted' -r -f -a "(__fish_complete_directories)"
complete -c msegctl -n "__fish_msegctl_using_subcommand status" -s j -l json -d 'Write JSON: one object'
complete -c msegctl -n "__fish_msegctl_using_subcommand status" -s p -l pretty -d 'Write indented JSON'
complete -c msegctl -n "__fish_msegctl_using_subcommand status" -l plain -d 'Write TSV: fields separated by tabs'
complete -c msegctl -n "__fish_msegctl_using_subcommand status" -l no-header -d 'Leave out the header of text and TSV'
complete -c msegctl -n "__fish_msegctl_using_subcommand status" -s q -l quiet -d 'Do not say what a change did'
complete -c msegctl -n "__fish_msegctl_using_subcommand status" -s v -l verbose -d 'Show more columns and details'
complete -c msegctl -n "__fish_msegctl_using_subcommand status" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c msegctl -n "__fish_msegctl_using_subcommand doctor" -l color -d 'Colour the text' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c msegctl -n "__fish_msegctl_using_subcommand doctor" -l instance -d 'The instance to work on' -r
complete -c msegctl -n "__fish_msegctl_using_subcommand doctor" -l bpffs -d 'Where bpffs is mounted' -r -f -a "(__fish_complete_directories)"
complete -c msegctl -n "__fish_msegctl_using_subcommand doctor" -s j -l json -d 'Write JSON: one object'
complete -c msegctl -n "__fish_msegctl_using_subcommand doctor" -s p -l pretty -d 'Write indented JSON'
complete -c msegctl -n "__fish_msegctl_using_subcommand doctor" -l plain -d 'Write TSV: fields separated by tabs'
complete -c msegctl -n "__fish_msegctl_using_subcommand doctor" -l no-header -d 'Leave out the header of text and TSV'
complete -c msegctl -n "__fish_msegctl_using_subcommand doctor" -s q -l quiet -d 'Do not say what a change did'
complete -c msegctl -n "__fish_msegctl_using_subcommand doctor" -s v -l verbose -d 'Show more columns and details'
complete -c msegctl -n "__fish_msegctl_using_subcommand doctor" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c msegctl -n "__fish_msegctl_using_subcommand session; and not __fish_seen_subcommand_from list get count delete" -l color -d 'Colour the text' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c msegctl -n "__fish_msegctl_using_subcommand session; and not __fish_seen_subcommand_from list get count delete" -l instance -d 'The instance to work on' -r
complete -c msegctl -n "__fish_msegctl_using_subcommand session; and not __fish_seen_subcommand_from list get count delete" -l bpffs -d 'Where bpffs is mounted' -r -f -a "(__fish_complete_directories)"
complete -c msegctl -n "__fish_msegctl_using_subcommand session; and not __fish_seen_subcommand_from list get count delete" -s j -l json -d 'Write JSON: one object'
complete -c msegctl -n "__fish_msegctl_using_subcommand session; and not __fish_seen_subcommand_from list get count delete" -s p -l pretty -d 'Write indented JSON'
complete -c msegctl -n "__fish_msegctl_using_subcommand session; and not __fish_seen_subcommand_from list get count delete" -l plain -d 'Write TSV: fields separated by tabs'
complete -c msegctl -n "__fish_msegctl_using_subcommand session; and not __fish_seen_subcommand_from list get count delete" -l no-header -d 'Leave out the header of text and TSV'
complete -c msegctl -n "__fish_msegctl_using_subcommand session; and not __fish_seen_subcommand_from list get count delete" -s q -l quiet -d 'Do not say what a change did'
complete -c msegctl -n "__fish_msegctl_using_subcommand session; and not __fish_seen_subcommand_from list get count delete" -s v -l verbose -d 'Show more columns and details'
complete -c msegctl -n "__fish_msegctl_using_subcommand session; and not __fish_seen_subcommand_from list get count delete" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c msegctl -n "__fish_msegctl_using_subcommand session; and not __fish_seen_subcommand_from list get count delete" -f -a "list" -d 'List sessions'
complete -c msegctl -n "__fish_msegctl_using_subcommand session; and not __fish_seen_subcommand_from list get count delete" -f -a "get" -d 'Show one session'
complete -c msegctl -n "__fish_msegctl_using_subcommand session; and not __fish_seen_subcommand_from list get count delete" -f -a "count" -d 'Count sessions'
complete -c msegctl -n "__fish_msegctl_using_subcommand session; and not __fish_seen_subcommand_from list get count delete" -f -a "delete" -d 'Delete sessions: their next packet is judged as if it were the first'
complete -c msegctl -n "__fish_msegctl_using_subcommand session; and __fish_seen_subcommand_from list" -l src -d 'Address or prefix of the client, which sent the first packet' -r
complete -c msegctl -n "__fish_msegctl_using_subcommand session; and __fish_seen_subcommand_from list" -l dst -d 'Address or prefix of the server' -r
complete -c msegctl -n "__fish_msegctl_using_subcommand session; and __fish_seen_subcommand_from list" -l ip -d 'Address or prefix of either side' -r
complete -c msegctl -n "__fish_msegctl_using_subcommand session; and __fish_seen_subcommand_from list" -l sport -d 'Port or range of the client' -r
complete -c msegctl -n "__fish_msegctl_using_subcommand session; and __fish_seen_subcommand_from list" -l dport -d 'Port or range of the server' -r
complete -c msegctl -n "__fish_msegctl_using_subcommand session; and __fish_seen_subcommand_from list" -l port -d 'Port or range of either side' -r
complete -c msegctl -n "__fish_msegctl_using_subcommand session; and __fish_seen_subcommand_from list" -l proto -d 'Protocol: tcp, udp, icmp, icmpv6, ... or a number' -r
complete -c msegctl -n "__fish_msegctl_using_subcommand session; and __fish_seen_subcommand_from list" -l state -d 'State, or TCP sub-state' -r -f -a "new\t''
established\t''
closing\t''
closed\t''
syn-sent\t''
syn-recv\t''
fin-wait\t''
close-wait\t''
last-ack\t''
time-wait\t''
close\t''"
complete -c msegctl -n "__fish_msegctl_using_subcommand session; and __fish_seen_subcommand_from list" -l verdict -d 'What the packets get' -r -f -a "allow\t''
deny\t''"
complete -c msegctl -n "__fish_msegctl_using_subcommand session; and __fish_seen_subcommand_from list" -l rule -d 'Name of the rule that decided' -r
complete -c msegctl -n "__fish_msegctl_using_subcommand session; and __fish_seen_subcommand_from list" -l iface -d 'Name of the interface' -r
complete -c msegctl -n "__fish_msegctl_using_subcommand session; and __fish_seen_subcommand_from list" -l direction -d 'Direction of the first packet, as the protected side sees it' -r -f -a "in\t''
out\t''"
complete -c msegctl -n "__fish_msegctl_using_subcommand session; and __fish_seen_subcommand_from list" -l since -d 'Last packet since then: 5m, 2h, 1d ago, or 2026-01-31T12:00:00Z' -r
complete -c msegctl -n "__fish_msegctl_using_subcommand session; and __fish_seen_subcommand_from list" -l sort -d 'Sort; without --limit all entries are held in memory for it' -r -f -a "bytes\t'Most bytes first'
packets\t'Most packets first'
age\t'Oldest first'
last-seen\t'Latest packet first'"
complete -c msegctl -n "__fish_msegctl_using_subcommand session; and __fish_seen_subcommand_from list" -l limit -d 'Stop after N entries' -r
complete -c msegctl -n "__fish_msegctl_using_subcommand session; and __fish_seen_subcommand_from list" -l color -d 'Colour the text' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c msegctl -n "__fish_msegctl_using_subcommand session; and __fish_seen_subcommand_from list" -l instance -d 'The instance to work on' -r
complete -c msegctl -n "__fish_msegctl_using_subcommand session; and __fish_seen_subcommand_from list" -l bpffs -d 'Where bpffs is mounted' -r -f -a "(__fish_complete_directories)"
complete -c msegctl -n "__fish_msegctl_using_subcommand session; and __fish_seen_subcommand_from list" -l not -d 'What the next filter matches must not match'
complete -c msegctl -n "__fish_msegctl_using_subcommand session; and __fish_seen_subcommand_from list" -s j -l json -d 'Write JSON: one object'
complete -c msegctl -n "__fish_msegctl_using_subcommand session; and __fish_seen_subcommand_from list" -s p -l pretty -d 'Write indented JSON'
complete -c msegctl -n "__fish_msegctl_using_subcommand session; and __fish_seen_subcommand_from list" -l plain -d 'Write TSV: fields separated by tabs'
complete -c msegctl -n "__fish_msegctl_using_subcommand session; and __fish_seen_subcommand_from list" -l no-header -d 'Leave out the header of text and TSV'
complete -c msegctl -n "__fish_msegctl_using_subcommand session; and __fish_seen_subcommand_from list" -s q -l quiet -d 'Do not say what a change did'
complete -c msegctl -n "__fish_msegctl_using_subcommand session; and __fish_seen_subcommand_from list" -s v -l verbose -d 'Show more columns and details'
complete -c msegctl -n "__fish_msegctl_using_subcommand session; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c msegctl -n "__fish_msegctl_using_subcommand session; and __fish_seen_subcommand_from get" -l color -d 'Colour the text' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c msegctl -n "__fish_msegctl_using_subcommand session; and __fish_seen_subcommand_from get" -l instance -d 'The instance to work on' -r
complete -c msegctl -n "__fish_msegctl_using_subcommand session; and __fish_seen_subcommand_from get" -l bpffs -d 'Where bpffs is mounted' -r -f -a "(__fish_complete_directories)"
complete -c msegctl -n "__fish_msegctl_using_subcommand session; and __fish_seen_subcommand_from get" -s j -l json -d 'Write JSON: one object'
complete -c msegctl -n "__fish_msegctl_using_subcommand session; and __fish_seen_subcommand_from get" -s p -l pretty -d 'Write indented JSON'
complete -c msegctl -n "__fish_msegctl_using_subcommand session; and __fish_seen_subcommand_from get" -l plain -d 'Write TSV: fields separated by tabs'
complete -c msegctl -n "__fish_msegctl_using_subcommand session; and __fish_seen_subcommand_from get" -l no-header -d 'Leave out the header of text and TSV'
complete -c msegctl -n "__fish_msegctl_using_subcommand session; and __fish_seen_subcommand_from get" -s q -l quiet -d 'Do not say what a change did'
complete -c msegctl -n "__fish_msegctl_using_subcommand session; and __fish_seen_subcommand_from get" -s v -l verbose -d 'Show more columns and details'
complete -c msegctl -n "__fish_msegctl_using_subcommand session; and __fish_seen_subcommand_from get" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c msegctl -n "__fish_msegctl_using_subcommand session; and __fish_seen_subcommand_from count" -l src -d 'Address or prefix of the client, which sent the first packet' -r
complete -c msegctl -n "__fish_msegctl_using_subcommand session; and __fish_seen_subcommand_from count" -l dst -d 'Address or prefix of the server' -r
complete -c msegctl -n "__fish_msegctl_using_subcommand session; and __fish_seen_subcommand_from count" -l ip -d 'Address or prefix of either side' -r
complete -c msegctl -n "__fish_msegctl_using_subcommand session; and __fish_seen_subcommand_from count" -l sport -d 'Port or range of the client' -r
complete -c msegctl -n "__fish_msegctl_using_subcommand session; and __fish_seen_subcommand_from count" -l dport -d 'Port or range of the server' -r
complete -c msegctl -n "__fish_msegctl_using_subcommand session; and __fish_seen_subcommand_from count" -l port -d 'Port or range of either side' -r
complete -c msegctl -n "__fish_msegctl_using_subcommand session; and __fish_seen_subcommand_from count" -l proto -d 'Protocol: tcp, udp, icmp, icmpv6, ... or a number' -r
complete -c msegctl -n "__fish_msegctl_using_subcommand session; and __fish_seen_subcommand_from count" -l state -d 'State, or TCP sub-state' -r -f -a "new\t''
established\t''
closing\t''
closed\t''
syn-sent\t''
syn-recv\t''
fin-wait\t''
close-wait\t''
last-ack\t''
time-wait\t''
close\t''"
complete -c msegctl -n "__fish_msegctl_using_subcommand session; and __fish_seen_subcommand_from count" -l verdict -d 'What the packets get' -r -f -a "allow\t''
deny\t''"
complete -c msegctl -n "__fish_msegctl_using_subcommand session; and __fish_seen_subcommand_from count" -l rule -d 'Name of the rule that decided' -r
complete -c msegctl -n "__fish_msegctl_using_subcommand session; and __fish_seen_subcommand_from count" -l iface -d 'Name of the interface' -r
complete -c msegctl -n "__fish_msegctl_using_subcommand session; and __fish_seen_subcommand_from count" -l direction -d 'Direction of the first packet, as the protected side sees it' -r -f -a "in\t''
out\t''"
complete -c msegctl -n "__fish_msegctl_using_subcommand session; and __fish_seen_subcommand_from count" -l since -d 'Last packet since then: 5m, 2h, 1d ago, or 2026-01-31T12:00:00Z' -r
complete -c msegctl -n "__fish_msegctl_using_subcommand session; and __fish_seen_subcommand_from count" -l sort -d 'Sort; without --limit all entries are held in memory for it' -r -f -a "bytes\t'Most bytes first'
packets\t'Most packets first'
age\t'Oldest first'
last-seen\t'Latest packet first'"
complete -c msegctl -n "__fish_msegctl_using_subcommand session; and __fish_seen_subcommand_from count" -l limit -d 'Stop after N entries' -r
complete -c msegctl -n "__fish_msegctl_using_subcommand session; and __fish_seen_subcommand_from count" -l color -d 'Colour the text' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c msegctl -n "__fish_msegctl_using_subcommand session; and __fish_seen_subcommand_from count" -l instance -d 'The instance to work on' -r
complete -c msegctl -n "__fish_msegctl_using_subcommand session; and __fish_seen_subcommand_from count" -l bpffs -d 'Where bpffs is mounted' -r -f -a "(__fish_complete_directories)"
complete -c msegctl -n "__fish_msegctl_using_subcommand session; and __fish_seen_subcommand_from count" -l not -d 'What the next filter matches must not match'
complete -c msegctl -n "__fish_msegctl_using_subcommand session; and __fish_seen_subcommand_from count" -s j -l json -d 'Write JSON: one object'
complete -c msegctl -n "__fish_msegctl_using_subcommand session; and __fish_seen_subcommand_from count" -s p -l pretty -d 'Write indented JSON'
complete -c msegctl -n "__fish_msegctl_using_subcommand session; and __fish_seen_subcommand_from count" -l plain -d 'Write TSV: fields separated by tabs'
complete -c msegctl -n "__fish_msegctl_using_subcommand session; and __fish_seen_subcommand_from count" -l no-header -d 'Leave out the header of text and TSV'
complete -c msegctl -n "__fish_msegctl_using_subcommand session; and __fish_seen_subcommand_from count" -s q -l quiet -d 'Do not say what a change did'
complete -c msegctl -n "__fish_msegctl_using_subcommand session; and __fish_seen_subcommand_from count" -s v -l verbose -d 'Show more columns and details'
complete -c msegctl -n "__fish_msegctl_using_subcommand session; and __fish_seen_subcommand_from count" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c msegctl -n "__fish_msegctl_using_subcommand session; and __fish_seen_subcommand_from delete" -l src -d 'Address or prefix of the client, which sent the first packet' -r
complete -c msegctl -n "__fish_msegctl_using_subcommand session; and __fish_seen_subcommand_from delete" -l dst -d 'Address or prefix of the server' -r
complete -c msegctl -n "__fish_msegctl_using_subcommand session; and __fish_seen_subcommand_from delete" -l ip -d 'Address or prefix of either side' -r
complete -c msegctl -n "__fish_msegctl_using_subcommand session; and __fish_seen_subcommand_from delete" -l sport -d 'Port or range of the client' -r
complete -c msegctl -n "__fish_msegctl_using_subcommand session; and __fish_seen_subcommand_from delete" -l dport -d 'Port or range of the server' -r
complete -c msegctl -n "__fish_msegctl_using_subcommand session; and __fish_seen_subcommand_from delete" -l port -d 'Port or range of either side' -r
complete -c msegctl -n "__fish_msegctl_using_subcommand session; and __fish_seen_subcommand_from delete" -l proto -d 'Protocol: tcp, udp, icmp, icmpv6, ... or a number' -r
complete -c msegctl -n "__fish_msegctl_using_subcommand session; and __fish_seen_subcommand_from delete" -l state -d 'State, or TCP sub-state' -r -f -a "new\t''
established\t''
closing\t''
closed\t''
syn-sent\t''
syn-recv\t''
fin-wait\t''
close-wait\t''
last-ack\t''
time-wait\t''
close\t''"
complete -c msegctl -n "__fish_msegctl_using_subcommand session; and __fish_seen_subcommand_from delete" -l verdict -d 'What the packets get' -r -f -a "allow\t''
deny\t''"
complete -c msegctl -n "__fish_msegctl_using_subcommand session; and __fish_seen_subcommand_from delete" -l rule -d 'Name of the rule that decided' -r
complete -c msegctl -n "__fish_msegctl_using_subcommand session; and __fish_seen_subcommand_from delete" -l iface -d 'Name of the interface' -r
complete -c msegctl -n "__fish_msegctl_using_subcommand session; and __fish_seen_subcommand_from delete" -l direction -d 'Direction of the first packet, as the protected side sees it' -r -f -a "in\t''
out\t''"
complete -c msegctl -n "__fish_msegctl_using_subcommand session; and __fish_seen_subcommand_from delete" -l since -d 'Last packet since then: 5m, 2h, 1d ago, or 2026-01-31T12:00:00Z' -r
complete -c msegctl -n "__fish_msegctl_using_subcommand session; and __fish_seen_subcommand_from delete" -l sort -d 'Sort; without --limit all entries are held in memory for it' -r -f -a "bytes\t'Most bytes first'
packets\t'Most packets first'
age\t'Oldest first'
last-seen\t'Latest packet first'"
complete -c msegctl -n "__fish_msegctl_using_subcommand session; and __fish_seen_subcommand_from delete" -l limit -d 'Stop after N entries' -r
complete -c msegctl -n "__fish_msegctl_using_subcommand session; and __fish_seen_subcommand_from delete" -l color -d 'Colour the text' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c msegctl -n "__fish_msegctl_using_subcommand session; and __fish_seen_subcommand_from delete" -l instance -d 'The instance to work on' -r
complete -c msegctl -n "__fish_msegctl_using_subcommand session; and __fish_seen_subcommand_from delete" -l bpffs -d 'Where bpffs is mounted' -r -f -a "(__fish_complete_directories)"
complete -c msegctl -n "__fish_msegctl_using_subcommand session; and __fish_seen_subcommand_from delete" -l all -d 'Delete every session'
complete -c msegctl -n "__fish_msegctl_using_subcommand session; and __fish_seen_subcommand_from delete" -l not -d 'What the next filter matches must not match'
complete -c msegctl -n "__fish_msegctl_using_subcommand session; and __fish_seen_subcommand_from delete" -s j -l json -d 'Write JSON: one object'
complete -c msegctl -n "__fish_msegctl_using_subcommand session; and __fish_seen_subcommand_from delete" -s p -l pretty -d 'Write indented JSON'
complete -c msegctl -n "__fish_msegctl_using_subcommand session; and __fish_seen_subcommand_from delete" -l plain -d 'Write TSV: fields separated by tabs'
complete -c msegctl -n "__fish_msegctl_using_subcommand session; and __fish_seen_subcommand_from delete" -l no-header -d 'Leave out the header of text and TSV'
complete -c msegctl -n "__fish_msegctl_using_subcommand session; and __fish_seen_subcommand_from delete" -s q -l quiet -d 'Do not say what a change did'
complete -c msegctl -n "__fish_msegctl_using_subcommand session; and __fish_seen_subcommand_from delete" -s v -l verbose -d 'Show more columns and details'
complete -c msegctl -n "__fish_msegctl_using_subcommand session; and __fish_seen_subcommand_from delete" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c msegctl -n "__fish_msegctl_using_subcommand denied; and not __fish_seen_subcommand_from list" -l color -d 'Colour the text' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c msegctl -n "__fish_msegctl_using_subcommand denied; and not __fish_seen_subcommand_from list" -l instance -d 'The instance to work on' -r
complete -c msegctl -n "__fish_msegctl_using_subcommand denied; and not __fish_seen_subcommand_from list" -l bpffs -d 'Where bpffs is mounted' -r -f -a "(__fish_complete_directories)"
complete -c msegctl -n "__fish_msegctl_using_subcommand denied; and not __fish_seen_subcommand_from list" -s j -l json -d 'Write JSON: one object'
complete -c msegctl -n "__fish_msegctl_using_subcommand denied; and not __fish_seen_subcommand_from list" -s p -l pretty -d 'Write indented JSON'
complete -c msegctl -n "__fish_msegctl_using_subcommand denied; and not __fish_seen_subcommand_from list" -l plain -d 'Write TSV: fields separated by tabs'
complete -c msegctl -n "__fish_msegctl_using_subcommand denied; and not __fish_seen_subcommand_from list" -l no-header -d 'Leave out the header of text and TSV'
complete -c msegctl -n "__fish_msegctl_using_subcommand denied; and not __fish_seen_subcommand_from list" -s q -l quiet -d 'Do not say what a change did'
complete -c msegctl -n "__fish_msegctl_using_subcommand denied; and not __fish_seen_subcommand_from list" -s v -l verbose -d 'Show more columns and details'
complete -c msegctl -n "__fish_msegctl_using_subcommand denied; and not __fish_seen_subcommand_from list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c msegctl -n "__fish_msegctl_using_subcommand denied; and not __fish_seen_subcommand_from list" -f -a "list" -d 'List flows that were denied lately'
complete -c msegctl -n "__fish_msegctl_using_subcommand denied; and __fish_seen_subcommand_from list" -l src -d 'Address or prefix of the client, which sent the first packet' -r
complete -c msegctl -n "__fish_msegctl_using_subcommand denied; and __fish_seen_subcommand_from list" -l dst -d 'Address or prefix of the server' -r
complete -c msegctl -n "__fish_msegctl_using_subcommand denied; and __fish_seen_subcommand_from list" -l ip -d 'Address or prefix of either side' -r
complete -c msegctl -n "__fish_msegctl_using_subcommand denied; and __fish_seen_subcommand_from list" -l sport -d 'Port or range of the client' -r
complete -c msegctl -n "__fish_msegctl_using_subcommand denied; and __fish_seen_subcommand_from list" -l dport -d 'Port or range of the server' -r
complete -c msegctl -n "__fish_msegctl_using_subcommand denied; and __fish_seen_subcommand_from list" -l port -d 'Port or range of either side' -r
complete -c msegctl -n "__fish_msegctl_using_subcommand denied; and __fish_seen_subcommand_from list" -l proto -d 'Protocol: tcp, udp, icmp, icmpv6, ... or a number' -r
complete -c msegctl -n "__fish_msegctl_using_subcommand denied; and __fish_seen_subcommand_from list" -l rule -d 'Name of the rule that decided' -r
complete -c msegctl -n "__fish_msegctl_using_subcommand denied; and __fish_seen_subcommand_from list" -l iface -d 'Name of the interface' -r
complete -c msegctl -n "__fish_msegctl_using_subcommand denied; and __fish_seen_subcommand_from list" -l direction -d 'Direction of the first packet, as the protected side sees it' -r -f -a "in\t''
out\t''"
complete -c msegctl -n "__fish_msegctl_using_subcommand denied; and __fish_seen_subcommand_from list" -l reason -d 'Reason of the denial; mseg(7) lists them' -r
complete -c msegctl -n "__fish_msegctl_using_subcommand denied; and __fish_seen_subcommand_from list" -l since -d 'Last packet since then: 5m, 2h, 1d ago, or 2026-01-31T12:00:00Z' -r
complete -c msegctl -n "__fish_msegctl_using_subcommand denied; and __fish_seen_subcommand_from list" -l sort -d 'Sort; without --limit all entries are held in memory for it' -r -f -a "bytes\t'Most bytes first'
packets\t'Most packets first'
age\t'Oldest first'
last-seen\t'Latest packet first'"
complete -c msegctl -n "__fish_msegctl_using_subcommand denied; and __fish_seen_subcommand_from list" -l limit -d 'Stop after N entries' -r
complete -c msegctl -n "__fish_msegctl_using_subcommand denied; and __fish_seen_subcommand_from list" -l color -d 'Colour the text' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c msegctl -n "__fish_msegctl_using_subcommand denied; and __fish_seen_subcommand_from list" -l instance -d 'The instance to work on' -r
complete -c msegctl -n "__fish_msegctl_using_subcommand denied; and __fish_seen_subcommand_from list" -l bpffs -d 'Where bpffs is mounted' -r -f -a "(__fish_complete_directories)"
complete -c msegctl -n "__fish_msegctl_using_subcommand denied; and __fish_seen_subcommand_from list" -l not -d 'What the next filter matches must not match'
complete -c msegctl -n "__fish_msegctl_using_subcommand denied; and __fish_seen_subcommand_from list" -s j -l json -d 'Write JSON: one object'
complete -c msegctl -n "__fish_msegctl_using_subcommand denied; and __fish_seen_subcommand_from list" -s p -l pretty -d 'Write indented JSON'
complete -c msegctl -n "__fish_msegctl_using_subcommand denied; and __fish_seen_subcommand_from list" -l plain -d 'Write TSV: fields separated by tabs'
complete -c msegctl -n "__fish_msegctl_using_subcommand denied; and __fish_seen_subcommand_from list" -l no-header -d 'Leave out the header of text and TSV'
complete -c msegctl -n "__fish_msegctl_using_subcommand denied; and __fish_seen_subcommand_from list" -s q -l quiet -d 'Do not say what a change did'
complete -c msegctl -n "__fish_msegctl_using_subcommand denied; and __fish_seen_subcommand_from list" -s v -l verbose -d 'Show more columns and details'
complete -c msegctl -n "__fish_msegctl_using_subcommand denied; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c msegctl -n "__fish_msegctl_using_subcommand rule; and not __fish_seen_subcommand_from list get add delete" -l color -d 'Colour the text' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c msegctl -n "__fish_msegctl_using_subcommand rule; and not __fish_seen_subcommand_from list get add delete" -l instance -d 'The instance to work on' -r
complete -c msegctl -n "__fish_msegctl_using_subcommand rule; and not __fish_seen_subcommand_from list get add delete" -l bpffs -d 'Where bpffs is mounted' -r -f -a "(__fish_complete_directories)"
complete -c msegctl -n "__fish_msegctl_using_subcommand rule; and not __fish_seen_subcommand_from list get add delete" -s j -l json -d 'Write JSON: one object'
complete -c msegctl -n "__fish_msegctl_using_subcommand rule; and not __fish_seen_subcommand_from list get add delete" -s p -l pretty -d 'Write indented JSON'
complete -c msegctl -n "__fish_msegctl_using_subcommand rule; and not __fish_seen_subcommand_from list get add delete" -l plain -d 'Write TSV: fields separated by tabs'
complete -c msegctl -n "__fish_msegctl_using_subcommand rule; and not __fish_seen_subcommand_from list get add delete" -l no-header -d 'Leave out the header of text and TSV'
complete -c msegctl -n "__fish_msegctl_using_subcommand rule; and not __fish_seen_subcommand_from list get add delete" -s q -l quiet -d 'Do not say what a change did'
complete -c msegctl -n "__fish_msegctl_using_subcommand rule; and not __fish_seen_subcommand_from list get add delete" -s v -l verbose -d 'Show more columns and details'
complete -c msegctl -n "__fish_msegctl_using_subcommand rule; and not __fish_seen_subcommand_from list get add delete" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c msegctl -n "__fish_msegctl_using_subcommand rule; and not __fish_seen_subcommand_from list get add delete" -f -a "list" -d 'List rules with their hits, in the order in which they are asked'
complete -c msegctl -n "__fish_msegctl_using_subcommand rule; and not __fish_seen_subcommand_from list get add delete" -f -a "get" -d 'Show one rule with its hits'
complete -c msegctl -n "__fish_msegctl_using_subcommand rule; and not __fish_seen_subcommand_from list get add delete" -f -a "add" -d 'Add a rule to the active policy'
complete -c msegctl -n "__fish_msegctl_using_subcommand rule; and not __fish_seen_subcommand_from list get add delete" -f -a "delete" -d 'Delete a rule from the active policy'
complete -c msegctl -n "__fish_msegctl_using_subcommand rule; and __fish_seen_subcommand_from list" -l color -d 'Colour the text' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c msegctl -n "__fish_msegctl_using_subcommand rule; and __fish_seen_subcommand_from list" -l instance -d 'The instance to work on' -r
complete -c msegctl -n "__fish_msegctl_using_subcommand rule; and __fish_seen_subcommand_from list" -l bpffs -d 'Where bpffs is mounted' -r -f -a "(__fish_complete_directories)"
complete -c msegctl -n "__fish_msegctl_using_subcommand rule; and __fish_seen_subcommand_from list" -s j -l json -d 'Write JSON: one object'
complete -c msegctl -n "__fish_msegctl_using_subcommand rule; and __fish_seen_subcommand_from list" -s p -l pretty -d 'Write indented JSON'
complete -c msegctl -n "__fish_msegctl_using_subcommand rule; and __fish_seen_subcommand_from list" -l plain -d 'Write TSV: fields separated by tabs'
complete -c msegctl -n "__fish_msegctl_using_subcommand rule; and __fish_seen_subcommand_from list" -l no-header -d 'Leave out the header of text and TSV'
complete -c msegctl -n "__fish_msegctl_using_subcommand rule; and __fish_seen_subcommand_from list" -s q -l quiet -d 'Do not say what a change did'
complete -c msegctl -n "__fish_msegctl_using_subcommand rule; and __fish_seen_subcommand_from list" -s v -l verbose -d 'Show more columns and details'
complete -c msegctl -n "__fish_msegctl_using_subcommand rule; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c msegctl -n "__fish_msegctl_using_subcommand rule; and __fish_seen_subcommand_from get" -l color -d 'Colour the text' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c msegctl -n "__fish_msegctl_using_subcommand rule; and __fish_seen_subcommand_from get" -l instance -d 'The instance to work on' -r
complete -c msegctl -n "__fish_msegctl_using_subcommand rule; and __fish_seen_subcommand_from get" -l bpffs -d 'Where bpffs is mounted' -r -f -a "(__fish_complete_directories)"
complete -c msegctl -n "__fish_msegctl_using_subcommand rule; and __fish_seen_subcommand_from get" -s j -l json -d 'Write JSON: one object'
complete -c msegctl -n "__fish_msegctl_using_subcommand rule; and __fish_seen_subcommand_from get" -s p -l pretty -d 'Write indented JSON'
complete -c msegctl -n "__fish_msegctl_using_subcommand rule; and __fish_seen_subcommand_from get" -l plain -d 'Write TSV: fields separated by tabs'
complete -c msegctl -n "__fish_msegctl_using_subcommand rule; and __fish_seen_subcommand_from get" -l no-header -d 'Leave out the header of text and TSV'
complete -c msegctl -n "__fish_msegctl_using_subcommand rule; and __fish_seen_subcommand_from get" -s q -l quiet -d 'Do not say what a change did'
complete -c msegctl -n "__fish_msegctl_using_subcommand rule; and __fish_seen_subcommand_from get" -s v -l verbose -d 'Show more columns and details'
complete -c msegctl -n "__fish_msegctl_using_subcommand rule; and __fish_seen_subcommand_from get" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c msegctl -n "__fish_msegctl_using_subcommand rule; and __fish_seen_subcommand_from add" -l color -d 'Colour the text' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c msegctl -n "__fish_msegctl_using_subcommand rule; and __fish_seen_subcommand_from add" -l instance -d 'The instance to work on' -r
complete -c msegctl -n "__fish_msegctl_using_subcommand rule; and __fish_seen_subcommand_from add" -l bpffs -d 'Where bpffs is mounted' -r -f -a "(__fish_complete_directories)"
complete -c msegctl -n "__fish_msegctl_using_subcommand rule; and __fish_seen_subcommand_from add" -l force -d 'Do it even if it cuts off your own connection'
complete -c msegctl -n "__fish_msegctl_using_subcommand rule; and __fish_seen_subcommand_from add" -s j -l json -d 'Write JSON: one object'
complete -c msegctl -n "__fish_msegctl_using_subcommand rule; and __fish_seen_subcommand_from add" -s p -l pretty -d 'Write indented JSON'
complete -c msegctl -n "__fish_msegctl_using_subcommand rule; and __fish_seen_subcommand_from add" -l plain -d 'Write TSV: fields separated by tabs'
complete -c msegctl -n "__fish_msegctl_using_subcommand rule; and __fish_seen_subcommand_from add" -l no-header -d 'Leave out the header of text and TSV'
complete -c msegctl -n "__fish_msegctl_using_subcommand rule; and __fish_seen_subcommand_from add" -s q -l quiet -d 'Do not say what a change did'
complete -c msegctl -n "__fish_msegctl_using_subcommand rule; and __fish_seen_subcommand_from add" -s v -l verbose -d 'Show more columns and details'
complete -c msegctl -n "__fish_msegctl_using_subcommand rule; and __fish_seen_subcommand_from add" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c msegctl -n "__fish_msegctl_using_subcommand rule; and __fish_seen_subcommand_from delete" -l color -d 'Colour the text' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c msegctl -n "__fish_msegctl_using_subcommand rule; and __fish_seen_subcommand_from delete" -l instance -d 'The instance to work on' -r
complete -c msegctl -n "__fish_msegctl_using_subcommand rule; and __fish_seen_subcommand_from delete" -l bpffs -d 'Where bpffs is mounted' -r -f -a "(__fish_complete_directories)"
complete -c msegctl -n "__fish_msegctl_using_subcommand rule; and __fish_seen_subcommand_from delete" -l force -d 'Do it even if it cuts off your own connection'
complete -c msegctl -n "__fish_msegctl_using_subcommand rule; and __fish_seen_subcommand_from delete" -s j -l json -d 'Write JSON: one object'
complete -c msegctl -n "__fish_msegctl_using_subcommand rule; and __fish_seen_subcommand_from delete" -s p -l pretty -d 'Write indented JSON'
complete -c msegctl -n "__fish_msegctl_using_subcommand rule; and __fish_seen_subcommand_from delete" -l plain -d 'Write TSV: fields separated by tabs'
complete -c msegctl -n "__fish_msegctl_using_subcommand rule; and __fish_seen_subcommand_from delete" -l no-header -d 'Leave out the header of text and TSV'
complete -c msegctl -n "__fish_msegctl_using_subcommand rule; and __fish_seen_subcommand_from delete" -s q -l quiet -d 'Do not say what a change did'
complete -c msegctl -n "__fish_msegctl_using_subcommand rule; and __fish_seen_subcommand_from delete" -s v -l verbose -d 'Show more columns and details'
complete -c msegctl -n "__fish_msegctl_using_subcommand rule; and __fish_seen_subcommand_from delete" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and not __fish_seen_subcommand_from apply confirm rollback history diff check fmt test show" -l color -d 'Colour the text' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and not __fish_seen_subcommand_from apply confirm rollback history diff check fmt test show" -l instance -d 'The instance to work on' -r
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and not __fish_seen_subcommand_from apply confirm rollback history diff check fmt test show" -l bpffs -d 'Where bpffs is mounted' -r -f -a "(__fish_complete_directories)"
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and not __fish_seen_subcommand_from apply confirm rollback history diff check fmt test show" -s j -l json -d 'Write JSON: one object'
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and not __fish_seen_subcommand_from apply confirm rollback history diff check fmt test show" -s p -l pretty -d 'Write indented JSON'
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and not __fish_seen_subcommand_from apply confirm rollback history diff check fmt test show" -l plain -d 'Write TSV: fields separated by tabs'
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and not __fish_seen_subcommand_from apply confirm rollback history diff check fmt test show" -l no-header -d 'Leave out the header of text and TSV'
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and not __fish_seen_subcommand_from apply confirm rollback history diff check fmt test show" -s q -l quiet -d 'Do not say what a change did'
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and not __fish_seen_subcommand_from apply confirm rollback history diff check fmt test show" -s v -l verbose -d 'Show more columns and details'
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and not __fish_seen_subcommand_from apply confirm rollback history diff check fmt test show" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and not __fish_seen_subcommand_from apply confirm rollback history diff check fmt test show" -f -a "apply" -d 'Make a policy the active one, at once and as a whole'
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and not __fish_seen_subcommand_from apply confirm rollback history diff check fmt test show" -f -a "confirm" -d 'Keep the change that waits to be confirmed'
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and not __fish_seen_subcommand_from apply confirm rollback history diff check fmt test show" -f -a "rollback" -d 'Undo the change that waits to be confirmed, or go back to a generation that is kept'
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and not __fish_seen_subcommand_from apply confirm rollback history diff check fmt test show" -f -a "history" -d 'List the generations that are kept'
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and not __fish_seen_subcommand_from apply confirm rollback history diff check fmt test show" -f -a "diff" -d 'Show what differs between two policies'
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and not __fish_seen_subcommand_from apply confirm rollback history diff check fmt test show" -f -a "check" -d 'Check a policy file without loading anything'
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and not __fish_seen_subcommand_from apply confirm rollback history diff check fmt test show" -f -a "fmt" -d 'Write a policy file in canonical form, with its comments'
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and not __fish_seen_subcommand_from apply confirm rollback history diff check fmt test show" -f -a "test" -d 'Check that a policy decides as a file of assertions says'
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and not __fish_seen_subcommand_from apply confirm rollback history diff check fmt test show" -f -a "show" -d 'Print the active policy'
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and __fish_seen_subcommand_from apply" -l confirm -d 'Undo it after this time, such as 90s or 10m, unless `policy confirm` is run' -r
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and __fish_seen_subcommand_from apply" -l color -d 'Colour the text' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and __fish_seen_subcommand_from apply" -l instance -d 'The instance to work on' -r
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and __fish_seen_subcommand_from apply" -l bpffs -d 'Where bpffs is mounted' -r -f -a "(__fish_complete_directories)"
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and __fish_seen_subcommand_from apply" -l exit-code -d 'Exit with 1 if the policy is another one than before'
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and __fish_seen_subcommand_from apply" -l dry-run -d 'Only say what would change'
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and __fish_seen_subcommand_from apply" -l force -d 'Do it even if it cuts off your own connection'
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and __fish_seen_subcommand_from apply" -s j -l json -d 'Write JSON: one object'
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and __fish_seen_subcommand_from apply" -s p -l pretty -d 'Write indented JSON'
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and __fish_seen_subcommand_from apply" -l plain -d 'Write TSV: fields separated by tabs'
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and __fish_seen_subcommand_from apply" -l no-header -d 'Leave out the header of text and TSV'
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and __fish_seen_subcommand_from apply" -s q -l quiet -d 'Do not say what a change did'
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and __fish_seen_subcommand_from apply" -s v -l verbose -d 'Show more columns and details'
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and __fish_seen_subcommand_from apply" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and __fish_seen_subcommand_from confirm" -l color -d 'Colour the text' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and __fish_seen_subcommand_from confirm" -l instance -d 'The instance to work on' -r
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and __fish_seen_subcommand_from confirm" -l bpffs -d 'Where bpffs is mounted' -r -f -a "(__fish_complete_directories)"
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and __fish_seen_subcommand_from confirm" -s j -l json -d 'Write JSON: one object'
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and __fish_seen_subcommand_from confirm" -s p -l pretty -d 'Write indented JSON'
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and __fish_seen_subcommand_from confirm" -l plain -d 'Write TSV: fields separated by tabs'
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and __fish_seen_subcommand_from confirm" -l no-header -d 'Leave out the header of text and TSV'
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and __fish_seen_subcommand_from confirm" -s q -l quiet -d 'Do not say what a change did'
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and __fish_seen_subcommand_from confirm" -s v -l verbose -d 'Show more columns and details'
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and __fish_seen_subcommand_from confirm" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and __fish_seen_subcommand_from rollback" -l confirm -d 'Undo it after this time, such as 90s or 10m, unless `policy confirm` is run' -r
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and __fish_seen_subcommand_from rollback" -l color -d 'Colour the text' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and __fish_seen_subcommand_from rollback" -l instance -d 'The instance to work on' -r
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and __fish_seen_subcommand_from rollback" -l bpffs -d 'Where bpffs is mounted' -r -f -a "(__fish_complete_directories)"
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and __fish_seen_subcommand_from rollback" -l force -d 'Do it even if it cuts off your own connection'
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and __fish_seen_subcommand_from rollback" -s j -l json -d 'Write JSON: one object'
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and __fish_seen_subcommand_from rollback" -s p -l pretty -d 'Write indented JSON'
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and __fish_seen_subcommand_from rollback" -l plain -d 'Write TSV: fields separated by tabs'
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and __fish_seen_subcommand_from rollback" -l no-header -d 'Leave out the header of text and TSV'
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and __fish_seen_subcommand_from rollback" -s q -l quiet -d 'Do not say what a change did'
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and __fish_seen_subcommand_from rollback" -s v -l verbose -d 'Show more columns and details'
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and __fish_seen_subcommand_from rollback" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and __fish_seen_subcommand_from history" -l color -d 'Colour the text' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and __fish_seen_subcommand_from history" -l instance -d 'The instance to work on' -r
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and __fish_seen_subcommand_from history" -l bpffs -d 'Where bpffs is mounted' -r -f -a "(__fish_complete_directories)"
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and __fish_seen_subcommand_from history" -s j -l json -d 'Write JSON: one object'
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and __fish_seen_subcommand_from history" -s p -l pretty -d 'Write indented JSON'
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and __fish_seen_subcommand_from history" -l plain -d 'Write TSV: fields separated by tabs'
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and __fish_seen_subcommand_from history" -l no-header -d 'Leave out the header of text and TSV'
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and __fish_seen_subcommand_from history" -s q -l quiet -d 'Do not say what a change did'
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and __fish_seen_subcommand_from history" -s v -l verbose -d 'Show more columns and details'
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and __fish_seen_subcommand_from history" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and __fish_seen_subcommand_from diff" -l color -d 'Colour the text' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and __fish_seen_subcommand_from diff" -l instance -d 'The instance to work on' -r
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and __fish_seen_subcommand_from diff" -l bpffs -d 'Where bpffs is mounted' -r -f -a "(__fish_complete_directories)"
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and __fish_seen_subcommand_from diff" -s j -l json -d 'Write JSON: one object'
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and __fish_seen_subcommand_from diff" -s p -l pretty -d 'Write indented JSON'
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and __fish_seen_subcommand_from diff" -l plain -d 'Write TSV: fields separated by tabs'
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and __fish_seen_subcommand_from diff" -l no-header -d 'Leave out the header of text and TSV'
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and __fish_seen_subcommand_from diff" -s q -l quiet -d 'Do not say what a change did'
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and __fish_seen_subcommand_from diff" -s v -l verbose -d 'Show more columns and details'
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and __fish_seen_subcommand_from diff" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and __fish_seen_subcommand_from check" -l color -d 'Colour the text' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and __fish_seen_subcommand_from check" -l instance -d 'The instance to work on' -r
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and __fish_seen_subcommand_from check" -l bpffs -d 'Where bpffs is mounted' -r -f -a "(__fish_complete_directories)"
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and __fish_seen_subcommand_from check" -s j -l json -d 'Write JSON: one object'
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and __fish_seen_subcommand_from check" -s p -l pretty -d 'Write indented JSON'
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and __fish_seen_subcommand_from check" -l plain -d 'Write TSV: fields separated by tabs'
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and __fish_seen_subcommand_from check" -l no-header -d 'Leave out the header of text and TSV'
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and __fish_seen_subcommand_from check" -s q -l quiet -d 'Do not say what a change did'
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and __fish_seen_subcommand_from check" -s v -l verbose -d 'Show more columns and details'
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and __fish_seen_subcommand_from check" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and __fish_seen_subcommand_from fmt" -l color -d 'Colour the text' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and __fish_seen_subcommand_from fmt" -l instance -d 'The instance to work on' -r
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and __fish_seen_subcommand_from fmt" -l bpffs -d 'Where bpffs is mounted' -r -f -a "(__fish_complete_directories)"
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and __fish_seen_subcommand_from fmt" -l check -d 'Write nothing; the exit status is 1 if something would change'
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and __fish_seen_subcommand_from fmt" -s w -l write -d 'Rewrite the file in place'
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and __fish_seen_subcommand_from fmt" -s j -l json -d 'Write JSON: one object'
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and __fish_seen_subcommand_from fmt" -s p -l pretty -d 'Write indented JSON'
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and __fish_seen_subcommand_from fmt" -l plain -d 'Write TSV: fields separated by tabs'
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and __fish_seen_subcommand_from fmt" -l no-header -d 'Leave out the header of text and TSV'
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and __fish_seen_subcommand_from fmt" -s q -l quiet -d 'Do not say what a change did'
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and __fish_seen_subcommand_from fmt" -s v -l verbose -d 'Show more columns and details'
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and __fish_seen_subcommand_from fmt" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and __fish_seen_subcommand_from test" -l policy -d 'Ask this policy file instead of the active policy; needs neither root nor an instance' -r -F
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and __fish_seen_subcommand_from test" -l color -d 'Colour the text' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and __fish_seen_subcommand_from test" -l instance -d 'The instance to work on' -r
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and __fish_seen_subcommand_from test" -l bpffs -d 'Where bpffs is mounted' -r -f -a "(__fish_complete_directories)"
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and __fish_seen_subcommand_from test" -s j -l json -d 'Write JSON: one object'
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and __fish_seen_subcommand_from test" -s p -l pretty -d 'Write indented JSON'
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and __fish_seen_subcommand_from test" -l plain -d 'Write TSV: fields separated by tabs'
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and __fish_seen_subcommand_from test" -l no-header -d 'Leave out the header of text and TSV'
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and __fish_seen_subcommand_from test" -s q -l quiet -d 'Do not say what a change did'
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and __fish_seen_subcommand_from test" -s v -l verbose -d 'Show more columns and details'
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and __fish_seen_subcommand_from test" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and __fish_seen_subcommand_from show" -l generation -d 'A generation that is kept instead of the active one' -r
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and __fish_seen_subcommand_from show" -l color -d 'Colour the text' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and __fish_seen_subcommand_from show" -l instance -d 'The instance to work on' -r
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and __fish_seen_subcommand_from show" -l bpffs -d 'Where bpffs is mounted' -r -f -a "(__fish_complete_directories)"
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and __fish_seen_subcommand_from show" -s j -l json -d 'Write JSON: one object'
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and __fish_seen_subcommand_from show" -s p -l pretty -d 'Write indented JSON'
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and __fish_seen_subcommand_from show" -l plain -d 'Write TSV: fields separated by tabs'
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and __fish_seen_subcommand_from show" -l no-header -d 'Leave out the header of text and TSV'
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and __fish_seen_subcommand_from show" -s q -l quiet -d 'Do not say what a change did'
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and __fish_seen_subcommand_from show" -s v -l verbose -d 'Show more columns and details'
complete -c msegctl -n "__fish_msegctl_using_subcommand policy; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c msegctl -n "__fish_msegctl_using_subcommand mode; and not __fish_seen_subcommand_from show set confirm" -l color -d 'Colour the text' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c msegctl -n "__fish_msegctl_using_subcommand mode; and not __fish_seen_subcommand_from show set confirm" -l instance -d 'The instance to work on' -r
complete -c msegctl -n "__fish_msegctl_using_subcommand mode; and not __fish_seen_subcommand_from show set confirm" -l bpffs -d 'Where bpffs is mounted' -r -f -a "(__fish_complete_directories)"
complete -c msegctl -n "__fish_msegctl_using_subcommand mode; and not __fish_seen_subcommand_from show set confirm" -s j -l json -d 'Write JSON: one object'
complete -c msegctl -n "__fish_msegctl_using_subcommand mode; and not __fish_seen_subcommand_from show set confirm" -s p -l pretty -d 'Write indented JSON'
complete -c msegctl -n "__fish_msegctl_using_subcommand mode; and not __fish_seen_subcommand_from show set confirm" -l plain -d 'Write TSV: fields separated by tabs'
complete -c msegctl -n "__fish_msegctl_using_subcommand mode; and not __fish_seen_subcommand_from show set confirm" -l no-header -d 'Leave out the header of text and TSV'
complete -c msegctl -n "__fish_msegctl_using_subcommand mode; and not __fish_seen_subcommand_from show set confirm" -s q -l quiet -d 'Do not say what a change did'
complete -c msegctl -n "__fish_msegctl_using_subcommand mode; and not __fish_seen_subcommand_from show set confirm" -s v -l verbose -d 'Show more columns and details'
complete -c msegctl -n "__fish_msegctl_using_subcommand mode; and not __fish_seen_subcommand_from show set confirm" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c msegctl -n "__fish_msegctl_using_subcommand mode; and not __fish_seen_subcommand_from show set confirm" -f -a "show" -d 'Show the mode'
complete -c msegctl -n "__fish_msegctl_using_subcommand mode; and not __fish_seen_subcommand_from show set confirm" -f -a "set" -d 'Set the mode'
complete -c msegctl -n "__fish_msegctl_using_subcommand mode; and not __fish_seen_subcommand_from show set confirm" -f -a "confirm" -d 'Keep the change that waits to be confirmed; as `policy confirm`'
complete -c msegctl -n "__fish_msegctl_using_subcommand mode; and __fish_seen_subcommand_from show" -l color -d 'Colour the text' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c msegctl -n "__fish_msegctl_using_subcommand mode; and __fish_seen_subcommand_from show" -l instance -d 'The instance to work on' -r
complete -c msegctl -n "__fish_msegctl_using_subcommand mode; and __fish_seen_subcommand_from show" -l bpffs -d 'Where bpffs is mounted' -r -f -a "(__fish_complete_directories)"
complete -c msegctl -n "__fish_msegctl_using_subcommand mode; and __fish_seen_subcommand_from show" -s j -l json -d 'Write JSON: one object'
complete -c msegctl -n "__fish_msegctl_using_subcommand mode; and __fish_seen_subcommand_from show" -s p -l pretty -d 'Write indented JSON'
complete -c msegctl -n "__fish_msegctl_using_subcommand mode; and __fish_seen_subcommand_from show" -l plain -d 'Write TSV: fields separated by tabs'
complete -c msegctl -n "__fish_msegctl_using_subcommand mode; and __fish_seen_subcommand_from show" -l no-header -d 'Leave out the header of text and TSV'
complete -c msegctl -n "__fish_msegctl_using_subcommand mode; and __fish_seen_subcommand_from show" -s q -l quiet -d 'Do not say what a change did'
complete -c msegctl -n "__fish_msegctl_using_subcommand mode; and __fish_seen_subcommand_from show" -s v -l verbose -d 'Show more columns and details'
complete -c msegctl -n "__fish_msegctl_using_subcommand mode; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c msegctl -n "__fish_msegctl_using_subcommand mode; and __fish_seen_subcommand_from set" -l confirm -d 'Undo it after this time, such as 90s or 10m, unless `policy confirm` is run' -r
complete -c msegctl -n "__fish_msegctl_using_subcommand mode; and __fish_seen_subcommand_from set" -l color -d 'Colour the text' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c msegctl -n "__fish_msegctl_using_subcommand mode; and __fish_seen_subcommand_from set" -l instance -d 'The instance to work on' -r
complete -c msegctl -n "__fish_msegctl_using_subcommand mode; and __fish_seen_subcommand_from set" -l bpffs -d 'Where bpffs is mounted' -r -f -a "(__fish_complete_directories)"
complete -c msegctl -n "__fish_msegctl_using_subcommand mode; and __fish_seen_subcommand_from set" -l force -d 'Do it even if it cuts off your own connection'
complete -c msegctl -n "__fish_msegctl_using_subcommand mode; and __fish_seen_subcommand_from set" -s j -l json -d 'Write JSON: one object'
complete -c msegctl -n "__fish_msegctl_using_subcommand mode; and __fish_seen_subcommand_from set" -s p -l pretty -d 'Write indented JSON'
complete -c msegctl -n "__fish_msegctl_using_subcommand mode; and __fish_seen_subcommand_from set" -l plain -d 'Write TSV: fields separated by tabs'
complete -c msegctl -n "__fish_msegctl_using_subcommand mode; and __fish_seen_subcommand_from set" -l no-header -d 'Leave out the header of text and TSV'
complete -c msegctl -n "__fish_msegctl_using_subcommand mode; and __fish_seen_subcommand_from set" -s q -l quiet -d 'Do not say what a change did'
complete -c msegctl -n "__fish_msegctl_using_subcommand mode; and __fish_seen_subcommand_from set" -s v -l verbose -d 'Show more columns and details'
complete -c msegctl -n "__fish_msegctl_using_subcommand mode; and __fish_seen_subcommand_from set" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c msegctl -n "__fish_msegctl_using_subcommand mode; and __fish_seen_subcommand_from confirm" -l color -d 'Colour the text' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c msegctl -n "__fish_msegctl_using_subcommand mode; and __fish_seen_subcommand_from confirm" -l instance -d 'The instance to work on' -r
complete -c msegctl -n "__fish_msegctl_using_subcommand mode; and __fish_seen_subcommand_from confirm" -l bpffs -d 'Where bpffs is mounted' -r -f -a "(__fish_complete_directories)"
complete -c msegctl -n "__fish_msegctl_using_subcommand mode; and __fish_seen_subcommand_from confirm" -s j -l json -d 'Write JSON: one object'
complete -c msegctl -n "__fish_msegctl_using_subcommand mode; and __fish_seen_subcommand_from confirm" -s p -l pretty -d 'Write indented JSON'
complete -c msegctl -n "__fish_msegctl_using_subcommand mode; and __fish_seen_subcommand_from confirm" -l plain -d 'Write TSV: fields separated by tabs'
complete -c msegctl -n "__fish_msegctl_using_subcommand mode; and __fish_seen_subcommand_from confirm" -l no-header -d 'Leave out the header of text and TSV'
complete -c msegctl -n "__fish_msegctl_using_subcommand mode; and __fish_seen_subcommand_from confirm" -s q -l quiet -d 'Do not say what a change did'
complete -c msegctl -n "__fish_msegctl_using_subcommand mode; and __fish_seen_subcommand_from confirm" -s v -l verbose -d 'Show more columns and details'
complete -c msegctl -n "__fish_msegctl_using_subcommand mode; and __fish_seen_subcommand_from confirm" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c msegctl -n "__fish_msegctl_using_subcommand explain" -l iface -d 'The interface that it passes [default: the only one that is attached]' -r
complete -c msegctl -n "__fish_msegctl_using_subcommand explain" -l role -d 'Take the interface as if it were attached in this role' -r -f -a "host\t'The host: what arrives at the interface is direction "in"'
workload\t'The workload behind it, as at the host\'s end of a veth pair: what arrives is direction "out"'"
complete -c msegctl -n "__fish_msegctl_using_subcommand explain" -l policy -d 'Ask this policy file instead of the active policy; needs neither root nor an instance' -r -F
complete -c msegctl -n "__fish_msegctl_using_subcommand explain" -l color -d 'Colour the text' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c msegctl -n "__fish_msegctl_using_subcommand explain" -l instance -d 'The instance to work on' -r
complete -c msegctl -n "__fish_msegctl_using_subcommand explain" -l bpffs -d 'Where bpffs is mounted' -r -f -a "(__fish_complete_directories)"
complete -c msegctl -n "__fish_msegctl_using_subcommand explain" -s j -l json -d 'Write JSON: one object'
complete -c msegctl -n "__fish_msegctl_using_subcommand explain" -s p -l pretty -d 'Write indented JSON'
complete -c msegctl -n "__fish_msegctl_using_subcommand explain" -l plain -d 'Write TSV: fields separated by tabs'
complete -c msegctl -n "__fish_msegctl_using_subcommand explain" -l no-header -d 'Leave out the header of text and TSV'
complete -c msegctl -n "__fish_msegctl_using_subcommand explain" -s q -l quiet -d 'Do not say what a change did'
complete -c msegctl -n "__fish_msegctl_using_subcommand explain" -s v -l verbose -d 'Show more columns and details'
complete -c msegctl -n "__fish_msegctl_using_subcommand explain" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c msegctl -n "__fish_msegctl_using_subcommand stats; and not __fish_seen_subcommand_from show" -l color -d 'Colour the text' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c msegctl -n "__fish_msegctl_using_subcommand stats; and not __fish_seen_subcommand_from show" -l instance -d 'The instance to work on' -r
complete -c msegctl -n "__fish_msegctl_using_subcommand stats; and not __fish_seen_subcommand_from show" -l bpffs -d 'Where bpffs is mounted' -r -f -a "(__fish_complete_directories)"
complete -c msegctl -n "__fish_msegctl_using_subcommand stats; and not __fish_seen_subcommand_from show" -s j -l json -d 'Write JSON: one object'
complete -c msegctl -n "__fish_msegctl_using_subcommand stats; and not __fish_seen_subcommand_from show" -s p -l pretty -d 'Write indented JSON'
complete -c msegctl -n "__fish_msegctl_using_subcommand stats; and not __fish_seen_subcommand_from show" -l plain -d 'Write TSV: fields separated by tabs'
complete -c msegctl -n "__fish_msegctl_using_subcommand stats; and not __fish_seen_subcommand_from show" -l no-header -d 'Leave out the header of text and TSV'
complete -c msegctl -n "__fish_msegctl_using_subcommand stats; and not __fish_seen_subcommand_from show" -s q -l quiet -d 'Do not say what a change did'
complete -c msegctl -n "__fish_msegctl_using_subcommand stats; and not __fish_seen_subcommand_from show" -s v -l verbose -d 'Show more columns and details'
complete -c msegctl -n "__fish_msegctl_using_subcommand stats; and not __fish_seen_subcommand_from show" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c msegctl -n "__fish_msegctl_using_subcommand stats; and not __fish_seen_subcommand_from show" -f -a "show" -d 'Show the counters'
complete -c msegctl -n "__fish_msegctl_using_subcommand stats; and __fish_seen_subcommand_from show" -l color -d 'Colour the text' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c msegctl -n "__fish_msegctl_using_subcommand stats; and __fish_seen_subcommand_from show" -l instance -d 'The instance to work on' -r
complete -c msegctl -n "__fish_msegctl_using_subcommand stats; and __fish_seen_subcommand_from show" -l bpffs -d 'Where bpffs is mounted' -r -f -a "(__fish_complete_directories)"
complete -c msegctl -n "__fish_msegctl_using_subcommand stats; and __fish_seen_subcommand_from show" -s j -l json -d 'Write JSON: one object'
complete -c msegctl -n "__fish_msegctl_using_subcommand stats; and __fish_seen_subcommand_from show" -s p -l pretty -d 'Write indented JSON'
complete -c msegctl -n "__fish_msegctl_using_subcommand stats; and __fish_seen_subcommand_from show" -l plain -d 'Write TSV: fields separated by tabs'
complete -c msegctl -n "__fish_msegctl_using_subcommand stats; and __fish_seen_subcommand_from show" -l no-header -d 'Leave out the header of text and TSV'
complete -c msegctl -n "__fish_msegctl_using_subcommand stats; and __fish_seen_subcommand_from show" -s q -l quiet -d 'Do not say what a change did'
complete -c msegctl -n "__fish_msegctl_using_subcommand stats; and __fish_seen_subcommand_from show" -s v -l verbose -d 'Show more columns and details'
complete -c msegctl -n "__fish_msegctl_using_subcommand stats; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c msegctl -n "__fish_msegctl_using_subcommand completions" -l color -d 'Colour the text' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c msegctl -n "__fish_msegctl_using_subcommand completions" -l instance -d 'The instance to work on' -r
complete -c msegctl -n "__fish_msegctl_using_subcommand completions" -l bpffs -d 'Where bpffs is mounted' -r -f -a "(__fish_complete_directories)"
complete -c msegctl -n "__fish_msegctl_using_subcommand completions" -s j -l json -d 'Write JSON: one object'
complete -c msegctl -n "__fish_msegctl_using_subcommand completions" -s p -l pretty -d 'Write indented JSON'
complete -c msegctl -n "__fish_msegctl_using_subcommand completions" -l plain -d 'Write TSV: fields separated by tabs'
complete -c msegctl -n "__fish_msegctl_using_subcommand completions" -l no-header -d 'Leave out the header of text and TSV'
complete -c msegctl -n "__fish_msegctl_using_subcommand completions" -s q -l quiet -d 'Do not say what a change did'
complete -c msegctl -n "__fish_msegctl_using_subcommand completions" -s v -l verbose -d 'Show more columns and details'
complete -c msegctl -n "__fish_msegctl_using_subcommand completions" -s h -l help -d 'Print help (see more with \'--help\')'
