package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// Between two dials: the published plugin's pace.
const (
	firstPause  = 100 * time.Millisecond
	pauseGrowth = 1.5
	longestWait = 5 * time.Second
)

// endpoint is a `connection` or its `proxy`.
type endpoint struct {
	address     string
	config      *ssh.ClientConfig
	errorLimit  int // dials that may fail before the next failure is final; negative: no limit
	dialTimeout time.Duration
}

// connect logs in to the host, through the proxy if there is one, while ctx lasts. The connection ends with lasting.
func connect(ctx, lasting context.Context, connection resource.PropertyMap) (*ssh.Client, error) {
	target, err := newEndpoint(connection)
	if err != nil {
		return nil, err
	}
	proxy, ok := connection["proxy"]
	if !ok || !proxy.IsObject() {
		direct := func(ctx context.Context) (net.Conn, error) {
			return (&net.Dialer{Timeout: target.dialTimeout}).DialContext(ctx, "tcp", target.address)
		}
		return target.login(ctx, lasting, direct)
	}
	jump, err := connect(ctx, lasting, proxy.ObjectValue())
	if err != nil {
		return nil, fmt.Errorf("proxy: %w", err)
	}
	client, err := target.login(ctx, lasting, func(ctx context.Context) (net.Conn, error) {
		return jump.DialContext(ctx, "tcp", target.address)
	})
	if err != nil {
		return nil, errors.Join(err, jump.Close())
	}
	// The proxy's connection is of no use without the one inside it.
	go func() {
		_ = client.Wait()
		_ = jump.Close()
	}()
	return client, nil
}

// login dials until the host lets us in. Refused keys and wrong host keys are tried again as well, as the published plugin does: a booting
// host may show either. A limit of n makes n + 1 dials, and the message says n.
func (e *endpoint) login(ctx, lasting context.Context, dial func(context.Context) (net.Conn, error)) (*ssh.Client, error) {
	pause := firstPause
	for failed := 0; ; failed++ {
		client, err := e.attempt(ctx, lasting, dial)
		if err == nil {
			return client, nil
		}
		if e.errorLimit >= 0 && failed >= e.errorLimit {
			return nil, fmt.Errorf("after %d failed attempts: %w", failed, err)
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("cancelled after %d failed attempts: %w", failed+1, err)
		case <-time.After(pause):
		}
		pause = min(time.Duration(float64(pause)*pauseGrowth), longestWait)
	}
}

func (e *endpoint) attempt(ctx, lasting context.Context, dial func(context.Context) (net.Conn, error)) (*ssh.Client, error) {
	connection, err := dial(ctx)
	if err != nil {
		return nil, err
	}
	// Neither the handshake nor a running command looks at a context; a closed connection ends both.
	end := func() { _ = connection.Close() }
	early := context.AfterFunc(ctx, end)
	inner, channels, requests, err := ssh.NewClientConn(connection, e.address, e.config)
	early()
	if err != nil {
		end()
		return nil, err
	}
	stop := context.AfterFunc(lasting, end)
	client := ssh.NewClient(inner, channels, requests)
	go func() {
		_ = client.Wait()
		stop()
	}()
	return client, nil
}

func newEndpoint(connection resource.PropertyMap) (*endpoint, error) {
	config := &ssh.ClientConfig{User: text(connection, "user"), HostKeyCallback: ssh.InsecureIgnoreHostKey()}
	if key := text(connection, "hostKey"); key != "" {
		public, _, _, _, err := ssh.ParseAuthorizedKey([]byte(key))
		if err != nil {
			return nil, fmt.Errorf("failed to parse host key: %w", err)
		}
		config.HostKeyCallback = ssh.FixedHostKey(public)
		// Else a server with several keys would show another one first, and that would look like an attack.
		config.HostKeyAlgorithms = []string{public.Type()}
	}
	var err error
	if config.Auth, err = credentials(connection); err != nil {
		return nil, err
	}
	return &endpoint{
		address:     net.JoinHostPort(text(connection, "host"), strconv.Itoa(number(connection, "port", 22))),
		config:      config,
		errorLimit:  number(connection, "dialErrorLimit", 10),
		dialTimeout: time.Duration(number(connection, "perDialTimeout", 15)) * time.Second,
	}, nil
}

// credentials are all ways to log in that the connection gives, and the agent's keys.
func credentials(connection resource.PropertyMap) ([]ssh.AuthMethod, error) {
	var methods []ssh.AuthMethod
	if key := text(connection, "privateKey"); key != "" {
		var signer ssh.Signer
		var err error
		if password := text(connection, "privateKeyPassword"); password != "" {
			signer, err = ssh.ParsePrivateKeyWithPassphrase([]byte(key), []byte(password))
		} else {
			signer, err = ssh.ParsePrivateKey([]byte(key))
		}
		if err != nil {
			return nil, fmt.Errorf("failed to parse private key: %w", err)
		}
		methods = append(methods, ssh.PublicKeys(signer))
	}
	if password := text(connection, "password"); password != "" {
		answer := func(_, _ string, questions []string, _ []bool) ([]string, error) {
			answers := make([]string, len(questions))
			for index := range answers {
				answers[index] = password
			}
			return answers, nil
		}
		methods = append(methods, ssh.Password(password), ssh.KeyboardInteractive(answer))
	}
	socket := text(connection, "agentSocketPath")
	if socket == "" {
		socket = os.Getenv("SSH_AUTH_SOCK")
	}
	if socket != "" {
		dialled, err := net.Dial("unix", socket)
		if err != nil {
			return nil, fmt.Errorf("ssh agent at %s: %w", socket, err)
		}
		methods = append(methods, ssh.PublicKeysCallback(agent.NewClient(dialled).Signers))
	}
	return methods, nil
}

func number(values resource.PropertyMap, key resource.PropertyKey, otherwise int) int {
	if value, ok := values[key]; ok && value.IsNumber() {
		return int(value.NumberValue())
	}
	return otherwise
}
