package main

import (
	_ "embed"
	"io"
	"strings"

	"github.com/spf13/cobra"
)

// thirdPartyNotices begins with a table of the modules, between empty lines. `make
// licences` writes it.
//
//go:embed doc/THIRD_PARTY_NOTICES.txt
var thirdPartyNotices string

func newLicencesCmd(p *program) *cobra.Command {
	var list bool
	cmd := &cobra.Command{
		Use:     "licences",
		Aliases: []string{"licenses"},
		Short:   "The licences of the program, and of all that is linked into it",
		Long: `Print the licences of elbo, of the modules that are linked into it and of MNIST, with
the copyrights and notices that they ask to be passed on: each module, its version and
licence, then every text once, below the modules that it covers.`,
		Args: noArguments,
		RunE: func(*cobra.Command, []string) error {
			text := thirdPartyNotices
			if list {
				text = moduleTable(text)
			}
			_, err := io.WriteString(p.stdout, text)
			return err
		},
	}
	cmd.Flags().BoolVar(&list, "list", false, "print one line a module: path, version, licence")
	return cmd
}

// moduleTable cuts the table of modules out of the notices.
func moduleTable(notices string) string {
	_, rest, _ := strings.Cut(notices, "\n\n")
	table, _, _ := strings.Cut(rest, "\n\n")
	return table + "\n"
}
