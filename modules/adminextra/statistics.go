package adminextra

import (
	"context"
	"runtime"
	"time"

	"github.com/gabberd/gabberd/admin"
	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/local"
)

// began is when the process did.
var began = time.Now()

// statisticsCommands count.
func (m *module) statisticsCommands() []admin.Command {
	return []admin.Command{
		admin.New("stats", "Tell a number about the server.", m.stats).Tags("statistics").Policy(admin.Admin).
			Result("stat").Example("6", "registeredusers"),
		admin.New("stats_host", "Tell a number about a virtual host.", m.statsHost).Tags("statistics").Policy(admin.Admin).
			Result("stat").Example("6", "registeredusers", "example.com"),
	}
}

type statistic struct{ Name string }

// Fields declares the arguments.
func (a *statistic) Fields(f *config.Fields) {
	f.Enum(&a.Name, "name", "", "Which number; processes are goroutines.", "registeredusers", "onlineusers", "onlineusersnode", "uptimeseconds", "processes")
}

func (m *module) stats(ctx context.Context, in statistic) (int, error) {
	switch in.Name {
	case "uptimeseconds":
		return int(time.Since(began) / time.Second), nil
	case "processes":
		return runtime.NumGoroutine(), nil
	}
	sum := 0
	for _, h := range m.hosts() {
		n, err := number(ctx, h, in.Name)
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}

type hostStatistic struct{ Name, Host string }

// Fields declares the arguments.
func (a *hostStatistic) Fields(f *config.Fields) {
	f.Enum(&a.Name, "name", "", "Which number.", "registeredusers", "onlineusers")
	f.String(&a.Host, "host", "", "Virtual host.")
}

func (m *module) statsHost(ctx context.Context, in hostStatistic) (int, error) {
	return number(ctx, m.host.Host, in.Name)
}

// number is the number of that name of one virtual host.
func number(ctx context.Context, h *local.Host, name string) (int, error) {
	switch name {
	case "registeredusers":
		return h.Auth.Count(ctx, "")
	case "onlineusersnode":
		return len(h.Sessions.Here()), nil
	}
	return h.Sessions.Count(), nil
}
