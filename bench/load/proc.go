package load

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// ticks is in which parts of a second /proc counts CPU: USER_HZ, which Linux
// shows as 100 whatever the kernel's own clock.
const ticks = 100

// Usage is what processes have used so far. Memory is zero where it was not
// asked for.
type Usage struct {
	CPU time.Duration `json:"cpu_ns"`              // user and system, of the processes and of children that are gone
	Pss int64         `json:"pss_bytes,omitempty"` // shared pages divided among those who share them
	Rss int64         `json:"rss_bytes,omitempty"`
}

// Read finds out what the given processes and all below them have used. It
// fails when one of the given ones is gone.
func Read(pids []int, memory bool) (Usage, error) {
	all, err := processes()
	if err != nil {
		return Usage{}, err
	}
	wanted := map[int]bool{}
	for _, pid := range pids {
		if _, ok := all[pid]; !ok {
			return Usage{}, fmt.Errorf("process %d is gone", pid)
		}
		wanted[pid] = true
	}
	var u Usage
	for pid, p := range all {
		if !below(all, pid, wanted) {
			continue
		}
		u.CPU += p.cpu
		if !memory {
			continue
		}
		if err := u.addMemory(pid); err != nil {
			return Usage{}, err
		}
	}
	return u, nil
}

type process struct {
	parent int
	cpu    time.Duration
}

// processes reads the stat of every process (proc_pid_stat(5)).
func processes() (map[int]process, error) {
	names, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	all := map[int]process{}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			continue // it ended in between
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(name)))
		if err != nil {
			continue
		}
		if all[pid], err = parseStat(string(b)); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return all, nil
}

// parseStat reads the parent and the four times: user and system, its own and
// those of children it has waited for.
func parseStat(stat string) (process, error) {
	_, rest, ok := strings.Cut(stat[max(strings.LastIndexByte(stat, ')'), 0):], ") ")
	fields := strings.Fields(rest) // fields[0] is the third of the manual
	if !ok || len(fields) < 15 {
		return process{}, errors.New("stat has another form than expected")
	}
	var numbers [5]int64
	for i, f := range []int{1, 11, 12, 13, 14} {
		n, err := strconv.ParseInt(fields[f], 10, 64)
		if err != nil {
			return process{}, fmt.Errorf("stat: %w", err)
		}
		numbers[i] = n
	}
	sum := numbers[1] + numbers[2] + numbers[3] + numbers[4]
	return process{int(numbers[0]), time.Duration(sum) * (time.Second / ticks)}, nil
}

// below says whether a process or one of its ancestors is wanted.
func below(all map[int]process, pid int, wanted map[int]bool) bool {
	for range 64 {
		if wanted[pid] {
			return true
		}
		p, ok := all[pid]
		if !ok {
			return false
		}
		pid = p.parent
	}
	return false
}

func (u *Usage) addMemory(pid int) error {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/smaps_rollup")
	if err != nil {
		return fmt.Errorf("read memory (as another user than the server's?): %w", err)
	}
	for line := range bytes.Lines(b) {
		fields := strings.Fields(string(line))
		if len(fields) < 2 {
			continue
		}
		n, _ := strconv.ParseInt(fields[1], 10, 64)
		switch fields[0] {
		case "Pss:":
			u.Pss += n << 10
		case "Rss:":
			u.Rss += n << 10
		}
	}
	return nil
}

// busy is how long the cores of this machine have worked so far, for whomever.
func busy() (time.Duration, error) {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	line, _, _ := strings.Cut(string(b), "\n")
	fields := strings.Fields(line)
	if len(fields) < 9 {
		return 0, errors.New("/proc/stat has another form than expected")
	}
	var sum int64
	for i, f := range fields[1:9] {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("/proc/stat: %w", err)
		}
		if i != 3 && i != 4 { // idle and iowait
			sum += n
		}
	}
	return time.Duration(sum) * (time.Second / ticks), nil
}

// ownCPU is what this process has used.
func ownCPU() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
