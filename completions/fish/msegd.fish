complete -c msegd -s o -l output -d 'Append to a file instead of writing to standard output; SIGHUP opens it anew' -r -F
complete -c msegd -l instance -d 'The instance to read' -r
complete -c msegd -l bpffs -d 'Where bpffs is mounted' -r -f -a "(__fish_complete_directories)"
complete -c msegd -l once -d 'Write what is there, and end'
complete -c msegd -s j -l json -d 'Write errors as JSON, too'
complete -c msegd -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c msegd -s v -l verbose -d 'Say more on standard error; twice for even more'
complete -c msegd -s h -l help -d 'Print help (see more with \'--help\')'
complete -c msegd -s V -l version -d 'Print version'
