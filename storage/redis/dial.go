package redis

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"
)

// dial makes a connection, with TLS where it was asked for. A failure comes as
// a connection on which nothing can be read or written: of failed dials
// go-redis counts so many, and after that tries only once a second, in a
// goroutine that its Close does not wait for.
func (c *Client) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := c.reach(ctx, network, addr)
	if err != nil {
		return unreached{&dialError{err}}, nil
	}
	c.dials.Add(1)
	return conn, nil
}

func (c *Client) reach(ctx context.Context, network, addr string) (net.Conn, error) {
	if c.at.unix {
		network = "unix"
	}
	d := net.Dialer{
		Timeout:         c.opt.ConnectTimeout,
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 5 * time.Second, Interval: 2 * time.Second, Count: 3},
	}
	conn, err := d.DialContext(ctx, network, addr)
	if err != nil || c.tls == nil {
		return conn, err
	}
	cfg := c.tls.Clone()
	if cfg.ServerName, _, err = net.SplitHostPort(addr); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	secure := tls.Client(conn, cfg)
	if err := secure.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("TLS with %s: %w", addr, err), conn.Close())
	}
	return secure, nil
}

// dialError marks what went wrong before there was a connection.
type dialError struct{ error }

func (e *dialError) Unwrap() error { return e.error }

// unreached is a connection that did not come about.
type unreached struct{ why error }

// Read, Write and the rest implement net.Conn.
func (u unreached) Read([]byte) (int, error)         { return 0, u.why }
func (u unreached) Write([]byte) (int, error)        { return 0, u.why }
func (u unreached) Close() error                     { return nil }
func (u unreached) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (u unreached) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (u unreached) SetDeadline(time.Time) error      { return nil }
func (u unreached) SetReadDeadline(time.Time) error  { return nil }
func (u unreached) SetWriteDeadline(time.Time) error { return nil }
