// Package e2e tries the whole server from outside: plays (see e2e/plays), real
// clients, and strangers who send what no client would.
package e2e
