// Package frame has what the programs beside it share: how they fail, and where Redis is.
package frame

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
)

// Must ends the program for an error.
func Must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// Need ends the program where something does not hold.
func Need(holds bool, what string) {
	if !holds {
		Must(errors.New("not so: " + what))
	}
}

// Address is Redis' host and port, from the variables that `mngdb env APP` prints.
func Address() string {
	return os.Getenv("REDIS_HOST") + ":" + os.Getenv("REDIS_PORT")
}

// TLS verifies Redis by the stack's CA; nil: Redis has no TLS.
func TLS() *tls.Config {
	path := os.Getenv("REDIS_CA")
	if path == "" {
		return nil
	}
	text, err := os.ReadFile(path)
	Must(err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(text)
	return &tls.Config{RootCAs: roots, ServerName: os.Getenv("REDIS_HOST")}
}
