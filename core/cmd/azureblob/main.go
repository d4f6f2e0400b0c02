// Command azureblob writes logs to Azure Blob Storage while they are made, and
// reads them while they grow.
//
//	pipe    stdin ─► [format] ─► core.Stream ─► blob
//	tail    blob ─► liveblob.Reader ─► [decode] ─► [last lines] ─► stdout
//	cat     the same, all of it
//	ls      listing ─► one row a blob
//	doctor  one question after the other to the account, and what to do about each answer
//
// run is the whole program: it takes arguments, environment and files, and gives
// the exit code: 0 done, 1 failed, 2 used wrongly. Each command is a method of
// app that returns an error; run alone prints it, as one line without secrets.
// Nothing but main knows the process, so that tests call run.
//
// What is on stdout is data (or what was asked for, such as help); all else goes
// to stderr through one console, which also owns the progress line.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/liveblob/azureblob/core"
)

func main() {
	// A closed stdout is an error of write, to be dealt with there: it must not
	// end an upload.
	signal.Ignore(syscall.SIGPIPE)
	delayCollection()
	os.Exit(run(context.Background(), os.Args[1:], os.LookupEnv, os.Stdin, os.Stdout, os.Stderr))
}

// delayCollection puts the first garbage collection off from 4 MiB of heap to 8. A
// start leaves three behind, most of it from reading the system's certificates:
// enough for a collection in the middle of the first handshake, and no more until
// much later. From that collection on, the heap grows as ever.
func delayCollection() {
	if _, set := os.LookupEnv("GOGC"); set {
		return
	}
	asEver := debug.SetGCPercent(200)
	runtime.AddCleanup(new(app), func(percent int) { debug.SetGCPercent(percent) }, asEver)
}

// version is what git describes; make build sets it.
var version string

const (
	exitFailed = 1
	exitUsage  = 2
)

// app is one run of the program.
type app struct {
	env     func(string) (string, bool)
	stdin   *os.File
	stdout  io.Writer
	console *console
	working bool // a command has begun: what goes wrong from here on is not the arguments' fault
}

// run ends early, with an error, when ctx does.
func run(ctx context.Context, args []string, env func(string) (string, bool), stdin *os.File, stdout, stderr io.Writer) int {
	a := &app{env: env, stdin: stdin, stdout: stdout, console: newConsole(stderr, env)}
	root := a.rootCommand(args)
	root.SetArgs(append([]string{}, args...)) // of nil, cobra makes os.Args
	root.SetOut(stdout)
	root.SetErr(stderr)
	cmd, err := root.ExecuteContextC(ctx)
	var usage *usageError
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errSilent):
		return exitFailed
	case errors.As(err, &usage) || !a.working:
		text := message(err)
		if !strings.HasSuffix(text, "?") {
			text += ":"
		}
		a.console.say("%s see '%s --help'", text, cmd.CommandPath())
		return exitUsage
	}
	a.console.say("%s", message(err))
	return exitFailed
}

// usageError is the user's to mend on the command line or in the environment.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error { return &usageError{fmt.Errorf(format, args...)} }

// errSilent fails without a word: there is nobody to tell, or all is said.
var errSilent = errors.New("failed")

// rootCommand has the command that args begin with, or else all: to make the
// flags of all is a tenth of what a start allocates.
func (a *app) rootCommand(args []string) *cobra.Command {
	root := &cobra.Command{
		Use:   "azureblob",
		Short: "Live logs in Azure Blob Storage",
		Long: `azureblob writes a log to Azure Blob Storage while it is made, readable a second
after each line was written, and reads such a log while it grows.

The account is taken from the environment, as the Azure CLI and SDKs have it:
  AZURE_STORAGE_CONNECTION_STRING, or
  AZURE_STORAGE_ACCOUNT with AZURE_STORAGE_KEY, AZURE_STORAGE_SAS_TOKEN,
  AZURE_CLIENT_ID, AZURE_TENANT_ID and AZURE_CLIENT_SECRET, or --auth-type.
` + noSecretFlags + `

Exit codes: 0 done, 1 failed, 2 used wrongly.`,
		Example: `  export AZURE_STORAGE_CONNECTION_STRING='DefaultEndpointsProtocol=https;…'
  azureblob doctor logs
  make 2>&1 | azureblob pipe --tee logs/build.log
  azureblob tail -f logs/build.log`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.ArbitraryArgs, // so that RunE can answer with a suggestion
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				cmd.SetOut(a.console)
				cmd.Help()
				return usagef("no command is given")
			}
			var known []string
			for _, c := range cmd.Commands() {
				known = append(known, c.Name())
			}
			return usagef("unknown command %q%s", args[0], didYouMean(args[0], known, ""))
		},
	}
	root.SetFlagErrorFunc(flagError)
	root.SetUsageFunc(usage)
	commands := []struct {
		name string
		make func() *cobra.Command
	}{
		{"pipe", a.pipeCommand}, {"tail", a.tailCommand}, {"cat", a.catCommand},
		{"ls", a.lsCommand}, {"doctor", a.doctorCommand}, {"version", a.versionCommand},
	}
	for _, c := range commands {
		if len(args) > 0 && args[0] == c.name {
			root.AddCommand(c.make())
			return root
		}
	}
	for _, c := range commands {
		root.AddCommand(c.make())
	}
	return root
}

// usage is the lower half of --help, for a terminal of 80 columns.
func usage(cmd *cobra.Command) error {
	w := cmd.OutOrStdout()
	if cmd.HasSubCommands() {
		fmt.Fprintf(w, "Usage:\n  %s COMMAND\n\nCommands:\n", cmd.CommandPath())
		for _, c := range cmd.Commands() {
			if c.IsAvailableCommand() {
				fmt.Fprintf(w, "  %-12s %s\n", c.Name(), c.Short)
			}
		}
		fmt.Fprintln(w)
	} else {
		fmt.Fprintf(w, "Usage:\n  %s\n\n", cmd.UseLine())
	}
	if cmd.Example != "" {
		fmt.Fprintf(w, "Examples:\n%s\n\n", cmd.Example)
	}
	_, err := fmt.Fprintf(w, "Flags:\n%s", cmd.LocalFlags().FlagUsagesWrapped(80))
	return err
}

// command makes do a cobra command's body.
func (a *app) command(do func(ctx context.Context, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		a.working = true
		return do(cmd.Context(), args)
	}
}

// oneArg wants exactly one argument, called what.
func oneArg(what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		switch {
		case len(args) == 0:
			return fmt.Errorf("%s is missing", what)
		case len(args) > 1:
			return fmt.Errorf("one %s is wanted, there are %d arguments: put it in quotes if it has spaces", what, len(args))
		}
		return nil
	}
}

func atMostOneArg(what string) cobra.PositionalArgs {
	one := oneArg(what)
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		return one(cmd, args)
	}
}

// flagError says what a flag that cannot be taken should be. It never shows the
// value of one that does not exist: that may be a secret.
func flagError(cmd *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) {
		return &usageError{err}
	}
	name := unknown.GetSpecifiedName()
	if unknown.GetSpecifiedShortnames() != "" {
		return usagef("unknown flag -%.1s", name)
	}
	if o := core.FindOption(optionName(name)); o != nil && hidden(o) {
		return usagef("--%s would show the secret to everybody who can run ps: set %s%s", name, o.EnvName(), orFile(o))
	}
	var known []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) { known = append(known, f.Name) })
	return usagef("unknown flag --%s%s", name, didYouMean(name, known, "--"))
}

func didYouMean(name string, known []string, dashes string) string {
	if near := core.Suggest(name, known); near != "" {
		return fmt.Sprintf(": did you mean %s%s?", dashes, near)
	}
	return ""
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version",
		Example: "  azureblob version",
		Args:    cobra.NoArgs,
		RunE: a.command(func(context.Context, []string) error {
			v := version
			if b, ok := debug.ReadBuildInfo(); ok && v == "" {
				v = b.Main.Version // by go install
			}
			return a.print("azureblob %s %s\n", v, runtime.Version())
		}),
	}
}

// print writes to stdout.
func (a *app) print(format string, args ...any) error {
	_, err := fmt.Fprintf(output{a.stdout}, format, args...)
	return err
}

// output is stdout with errors for the user.
type output struct{ w io.Writer }

func (o output) Write(p []byte) (int, error) {
	n, err := o.w.Write(p)
	switch {
	case errors.Is(err, syscall.EPIPE):
		err = errSilent // the reader has seen enough, as with tail | head
	case err != nil:
		if pe := (*os.PathError)(nil); errors.As(err, &pe) {
			err = pe.Err // "write /dev/stdout: …"
		}
		hint := ""
		if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
			hint = ": make room, or write somewhere else; the blob is untouched"
		}
		err = &outputError{fmt.Errorf("write to stdout: %w%s", err, hint)}
	}
	return n, err
}

// outputError is ours, not the storage's.
type outputError struct{ err error }

func (e *outputError) Error() string { return e.err.Error() }
func (e *outputError) Unwrap() error { return e.err }
