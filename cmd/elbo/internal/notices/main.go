// Command notices writes the third-party notices that travel with elbo: of every module
// that is linked into the program, on any system that it is built for, its version, its
// licence, and the texts that the licence asks to be passed on. It reads the module cache
// alone. A module without a licence, or with one that this package has not been told of,
// is an error: a new dependency does not slip in.
//
//	notices FILE          write FILE
//	notices -check FILE   fail if FILE is not what would be written
package main

import (
	"flag"
	"fmt"
	"os"
)

func main() {
	check := flag.Bool("check", false, "write nothing; fail if the file is not current")
	root := flag.String("root", ".", "folder of the module elbo")
	flag.Parse()
	if err := run(*root, flag.Args(), *check); err != nil {
		fmt.Fprintln(os.Stderr, "notices:", err)
		os.Exit(1)
	}
}

func run(root string, args []string, check bool) error {
	if len(args) != 1 {
		return fmt.Errorf("want one file to write, got %d", len(args))
	}
	modules, err := linkedModules(root)
	if err != nil {
		return err
	}
	text, err := document(modules)
	if err != nil {
		return err
	}
	if !check {
		return os.WriteFile(args[0], []byte(text), 0o666)
	}
	was, err := os.ReadFile(args[0])
	if err != nil {
		return err
	}
	if string(was) != text {
		return fmt.Errorf("%s is not what the linked modules ask for: run `make licences`, and look at the difference", args[0])
	}
	return nil
}
