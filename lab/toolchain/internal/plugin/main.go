package plugin

import (
	"context"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/grpclog"
)

// parentCheck: how often an orphan notices that the engine is gone.
const parentCheck = time.Second

// Main serves the provider to the engine whose address is the first argument, until the engine ends it or dies.
func Main(provider *Provider) {
	if err := run(provider, os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "pulumi-resource-%s: %v\n", provider.Name, err)
		os.Exit(1)
	}
}

func run(provider *Provider, args []string) error {
	// The engine reads the port from stdout; nothing else may be there.
	grpclog.SetLoggerV2(grpclog.NewLoggerV2(io.Discard, io.Discard, io.Discard))
	var engine pulumirpc.EngineClient
	if len(args) > 0 && args[len(args)-1] != "" {
		connection, err := grpc.NewClient(args[len(args)-1], grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			return fmt.Errorf("engine at %s: %w", args[len(args)-1], err)
		}
		defer connection.Close()
		engine = pulumirpc.NewEngineClient(connection)
	}
	answering, err := newServer(provider, engine)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	// Files and states may be large: the engine itself sets no limit either. Work that was cancelled must come to its end before this
	// process does: it has commands to kill.
	serving := grpc.NewServer(grpc.MaxRecvMsgSize(math.MaxInt32), grpc.MaxSendMsgSize(math.MaxInt32), grpc.WaitForHandlers(true))
	pulumirpc.RegisterResourceProviderServer(serving, answering)
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)

	ended, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	go endWithParent(stop)
	go func() {
		<-ended.Done()
		answering.end()
		serving.Stop()
	}()
	return serving.Serve(listener)
}

// endWithParent calls stop when the process that started this one is gone.
func endWithParent(stop func()) {
	parent := os.Getppid()
	for range time.Tick(parentCheck) {
		if os.Getppid() != parent {
			stop()
			return
		}
	}
}
