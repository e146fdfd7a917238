package server

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gabberd/gabberd/admin"
	"github.com/gabberd/gabberd/cluster"
	"github.com/gabberd/gabberd/config"
)

// clusterCommands are about the nodes that share a Redis.
func (s *Server) clusterCommands() []admin.Command {
	return []admin.Command{
		admin.New("cluster", "Show the nodes of the cluster: leases, sessions, and what waits for them.", s.cmdCluster).Tags("cluster").
			Long("A node is up, suspect (its lease has run out), dead (another node cleans up after it) or leaving. Epochs grow whenever a node starts or was taken for dead. inbox is how many batches of stanzas are on their way to the node or not acknowledged yet; it is -1 when Redis cannot be asked.").
			Result("nodes", "node").Example("gabberd@atlas\tup\t7\t5.4 s\t1203\t0\t2026-11-22T10:00:00Z"),
		admin.New("list_cluster", "List the nodes of the cluster that are up.", s.cmdListCluster).Tags("cluster").
			Result("nodes", "node").Example("gabberd@atlas\ngabberd@iris"),
		admin.New("list_cluster_detailed", "List the nodes of the cluster, with what is known of them.", s.cmdListDetailed).Tags("cluster").Note("added in 24.06").
			Long("There is no master among the nodes: master_node is the node itself. What a Go program has in the place of processes is not known of others, and 0.").
			Result("nodes", "node").Example("gabberd@atlas\ttrue\tup\t1203\t0\t86400\tgabberd@atlas"),
		admin.New("leave", "Leave the cluster and stop: clients go elsewhere, and nothing is lost.", s.cmdLeave).Tags("cluster").
			Long("The node stops listening, tells its clients that it goes down, or where to go (see_other_host), hands over what is under way, and ends. SIGTERM does the same."),
		admin.New("leave_cluster", "Have a node leave the cluster and stop; it must be the one that is asked.", s.cmdLeaveCluster).Tags("cluster").Note("improved in 26.04").
			Example("ok", "gabberd@atlas"),
	}
}

type clusterNode struct {
	Node     string `json:"node"`
	State    string `json:"state"`
	Epoch    int    `json:"epoch"`
	Lease    string `json:"lease"`
	Sessions int    `json:"sessions"`
	Inbox    int    `json:"inbox"`
	Started  string `json:"started"`
}

var errAlone = errors.New("this server is not part of a cluster; sm_db_type: redis makes it one")

// nodes is the cluster, this node among them.
func (s *Server) nodes(ctx context.Context) ([]cluster.Status, error) {
	if s.member == nil {
		return nil, errAlone
	}
	return s.member.cluster.Nodes(ctx), nil
}

func (s *Server) cmdCluster(ctx context.Context, _ admin.NoArgs) ([]clusterNode, error) {
	all, err := s.nodes(ctx)
	out := make([]clusterNode, 0, len(all))
	for _, n := range all {
		out = append(out, clusterNode{n.Name, string(n.State), int(n.Epoch), fmt.Sprintf("%.1f s", n.Lease.Seconds()),
			n.Sessions, n.Inbox, n.Started.UTC().Format(time.RFC3339)})
	}
	return out, err
}

// cmdListCluster also answers on a server that is alone, as ejabberd does.
func (s *Server) cmdListCluster(ctx context.Context, _ admin.NoArgs) ([]string, error) {
	if s.member == nil {
		return []string{s.opt.node()}, nil
	}
	var out []string
	for _, n := range s.member.cluster.Nodes(ctx) {
		if n.State == cluster.Up {
			out = append(out, n.Name)
		}
	}
	return out, nil
}

type detailedNode struct {
	Name      string `json:"name"`
	Running   string `json:"running"`
	Status    string `json:"status"`
	Online    int    `json:"online_users"`
	Processes int    `json:"processes"`
	Uptime    int    `json:"uptime_seconds"`
	Master    string `json:"master_node"`
}

func (s *Server) cmdListDetailed(ctx context.Context, _ admin.NoArgs) ([]detailedNode, error) {
	if s.member == nil {
		n, err := s.cmdConnectedNumber(ctx, admin.NoArgs{})
		return []detailedNode{{s.opt.node(), "true", "up", n, 0, int(time.Since(s.started).Seconds()), s.opt.node()}}, err
	}
	var out []detailedNode
	for _, n := range s.member.cluster.Nodes(ctx) {
		running := "false"
		if n.State == cluster.Up {
			running = "true"
		}
		out = append(out, detailedNode{n.Name, running, string(n.State), n.Sessions, 0, int(time.Since(n.Started).Seconds()), n.Name})
	}
	return out, nil
}

func (s *Server) cmdLeave(context.Context, admin.NoArgs) (admin.Rescode, error) {
	if s.member == nil {
		return admin.OK, fmt.Errorf("%w; to end it, say stop", errAlone)
	}
	s.stop(errLeave)
	return admin.OK, nil
}

type ofNode struct{ Node string }

// Fields declares the arguments.
func (a *ofNode) Fields(f *config.Fields) {
	f.String(&a.Node, "nodename", "", "The name of the node, as list_cluster has it.").Required()
}

func (s *Server) cmdLeaveCluster(ctx context.Context, in ofNode) (admin.Rescode, error) {
	if in.Node != s.opt.node() {
		return admin.OK, fmt.Errorf("this is %s; ask %s itself to leave", s.opt.node(), in.Node)
	}
	return s.cmdLeave(ctx, admin.NoArgs{})
}
