"""The command line: one verb a file, each with NAME, HELP, add_arguments(parser) and run(args)."""
