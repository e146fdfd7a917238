package control

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// Call has the server at the socket path do r and copies what it prints to out
// and errOut while it comes. It returns the exit code, or an error that wraps
// ErrUnreachable when there is no server, and others when it went away before
// the end or out cannot be written to. It blocks until the server is done or
// ctx is.
func Call(ctx context.Context, path string, r Request, out, errOut io.Writer) (exit int, err error) {
	line, err := json.Marshal(r)
	if err != nil {
		return 0, fmt.Errorf("encode request: %w", err)
	}
	if len(line) >= maxRequest {
		return 0, fmt.Errorf("the arguments are too large: %d bytes, at most %d", len(line), maxRequest-1)
	}
	conn, err := dial(ctx, path)
	if err != nil {
		return 0, fmt.Errorf("%w at %s: %w", ErrUnreachable, path, err)
	}
	defer func() { _ = conn.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()

	exit, err = exchange(conn, append(line, '\n'), out, errOut)
	if ctx.Err() != nil {
		return exit, ctx.Err()
	}
	return exit, err
}

func dial(ctx context.Context, path string) (net.Conn, error) {
	addr, release, err := address(path)
	if err != nil {
		return nil, err
	}
	defer release()
	d := net.Dialer{Timeout: dialing}
	conn, err := d.DialContext(ctx, "unix", addr.Name)
	var op *net.OpError
	if errors.As(err, &op) {
		return nil, op.Err // without the path, which the caller names
	}
	return conn, err
}

// exchange sends the request while it waits for the greeting: a server that
// turns the client away greets with the reason and reads nothing.
func exchange(conn net.Conn, request []byte, out, errOut io.Writer) (int, error) {
	sent := make(chan error, 1)
	go func() {
		_, err := conn.Write(request)
		sent <- err
	}()
	defer func() {
		_ = conn.Close() // ends a Write to a server that does not read
		<-sent
	}()
	in := bufio.NewReaderSize(conn, chunk)
	if err := conn.SetReadDeadline(time.Now().Add(greetingDue)); err != nil {
		return 0, err
	}
	greeting, err := readReply(in)
	if err != nil {
		return 0, fmt.Errorf("%w: it accepts the connection but says nothing sensible: %w", ErrUnreachable, err)
	}
	if greeting.Gabberd != protocol {
		return 0, fmt.Errorf("the server speaks version %d of the protocol, this program version %d", greeting.Gabberd, protocol)
	}
	if err := conn.SetReadDeadline(time.Time{}); err != nil {
		return 0, err
	}
	for {
		rep, err := readReply(in)
		if err != nil {
			return 0, fmt.Errorf("the server went away before the command was done: %w", err)
		}
		if rep.Exit != nil {
			return *rep.Exit, nil
		}
		if _, err := io.WriteString(out, rep.Out); err != nil {
			return 0, err
		}
		if _, err := io.WriteString(errOut, rep.Err); err != nil {
			return 0, err
		}
	}
}

func readReply(in *bufio.Reader) (rep reply, err error) {
	line, err := readLine(in, maxLine)
	if err != nil {
		return rep, err
	}
	return rep, json.Unmarshal(line, &rep)
}

var errTooLong = errors.New("the line is too long")

// readLine returns the next line without its end. A line of limit bytes or more
// is errTooLong, and one that the stream ends in io.ErrUnexpectedEOF.
func readLine(in *bufio.Reader, limit int) ([]byte, error) {
	var line []byte
	for {
		part, err := in.ReadSlice('\n')
		if len(line)+len(part) > limit {
			return nil, errTooLong
		}
		line = append(line, part...)
		switch {
		case err == nil:
			return line[:len(line)-1], nil
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF) && len(line) > 0:
			return nil, io.ErrUnexpectedEOF
		default:
			return nil, err
		}
	}
}
