package control

import "fmt"

// allowed decides whether a process of the user peer may command a server of
// the user own.
func allowed(peer, own uint32) error {
	if peer == own || peer == 0 {
		return nil
	}
	return fmt.Errorf("user %d is neither this server's user nor root", peer)
}
