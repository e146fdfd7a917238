// Command relay joins pairs of sockets and copies what comes from one to the
// other, and does nothing else: no server of the same kind (Go, a goroutine for
// each connection, loopback) can be cheaper. It is the limit in the tables that
// bench makes.
//
// A connection begins with one tag, <stream:stream pair='NAME'>; the two of the
// same name are joined.
package main

import (
	"bufio"
	"crypto/tls"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"os/signal"
	"sync"
	"syscall"
)

func main() {
	plain := flag.String("plain", "127.0.0.1:0", "where to listen without TLS")
	secure := flag.String("tls", "127.0.0.1:0", "where to listen with TLS")
	cert := flag.String("cert", "", "`file` with certificate and key")
	flag.Parse()
	pair, err := tls.LoadX509KeyPair(*cert, *cert)
	if err != nil {
		log.Fatal(err)
	}
	config := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS13, NextProtos: []string{"xmpp-client"}}
	r := relay{waiting: map[string]net.Conn{}}
	for _, l := range []struct {
		address string
		wrap    func(net.Conn) net.Conn
	}{
		{*plain, func(c net.Conn) net.Conn { return c }},
		{*secure, func(c net.Conn) net.Conn { return tls.Server(c, config) }},
	} {
		ln, err := net.Listen("tcp", l.address)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(ln.Addr()) // whoever started it reads where to connect
		go func() {
			for {
				conn, err := ln.Accept()
				if err != nil {
					log.Fatal(err)
				}
				go r.join(l.wrap(conn))
			}
		}()
	}
	end := make(chan os.Signal, 1)
	signal.Notify(end, os.Interrupt, syscall.SIGTERM)
	<-end
}

// A relay knows who waits for whom.
type relay struct {
	mu      sync.Mutex
	waiting map[string]net.Conn
}

// join reads the first tag and, if the partner is there already, starts to copy.
func (r *relay) join(conn net.Conn) {
	// The client waits for our answer, so nothing comes behind its tag yet.
	tag, err := bufio.NewReaderSize(conn, 64).ReadString('>')
	if err == nil {
		_, err = io.WriteString(conn, "<stream:stream>")
	}
	if err != nil {
		conn.Close()
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	partner := r.waiting[tag]
	if partner == nil {
		r.waiting[tag] = conn
		return
	}
	delete(r.waiting, tag)
	// On goroutines of their own: the stack of a handshake stays big.
	go transfer(conn, partner)
	go transfer(partner, conn)
}

// transfer copies until either end closes. It is not io.Copy, which would use
// splice(2) and three times the system calls for stanzas as short as these.
func transfer(from, to net.Conn) {
	defer from.Close()
	defer to.Close()
	buf := make([]byte, 1024)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}
