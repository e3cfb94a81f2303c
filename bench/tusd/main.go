// Command tusd-bench measures uploads by tus: `serve` runs tusd with its file
// store, made to fsync each piece before it is answered, and `load` uploads to
// several servers in turns and compares them. It is a module of its own, so
// that what it needs is no dependency of Quire's. See run beside it.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/tus/tusd/v2/pkg/filelocker"
	"github.com/tus/tusd/v2/pkg/filestore"
	"github.com/tus/tusd/v2/pkg/handler"
	"golang.org/x/exp/slog"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) < 2 {
		log.Fatal("usage: tusd-bench serve FOLDER | load [flags] NAME=URL=TOKEN ...")
	}
	var err error
	switch os.Args[1] {
	case "serve":
		err = serve(os.Args[2])
	case "load":
		err = load(os.Args[2:])
	default:
		err = errors.New("there is no " + os.Args[1])
	}
	if err != nil {
		log.Fatal(err)
	}
}

// synced is the file store with an fsync after each piece, which is what Quire
// does before it answers.
type synced struct{ filestore.FileStore }

func (s synced) NewUpload(ctx context.Context, info handler.FileInfo) (handler.Upload, error) {
	u, err := s.FileStore.NewUpload(ctx, info)
	return syncedUpload{u}, err
}

func (s synced) GetUpload(ctx context.Context, id string) (handler.Upload, error) {
	u, err := s.FileStore.GetUpload(ctx, id)
	return syncedUpload{u}, err
}

type syncedUpload struct{ handler.Upload }

func (u syncedUpload) WriteChunk(ctx context.Context, offset int64, r io.Reader) (int64, error) {
	n, err := u.Upload.WriteChunk(ctx, offset, r)
	if err != nil {
		return n, err
	}
	info, err := u.GetInfo(ctx)
	if err != nil {
		return n, err
	}
	f, err := os.OpenFile(info.Storage["Path"], os.O_WRONLY, 0)
	if err != nil {
		return n, err
	}
	return n, errors.Join(f.Sync(), f.Close())
}

func serve(folder string) error {
	store := synced{filestore.New(folder)}
	composer := handler.NewStoreComposer()
	composer.UseCore(store)
	filelocker.New(folder).UseIn(composer)
	h, err := handler.NewHandler(handler.Config{BasePath: "/files/", StoreComposer: composer, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Printf("http://%s/files/\n", l.Addr())
	mux := http.NewServeMux()
	mux.Handle("/files/", http.StripPrefix("/files/", h))
	return http.Serve(l, mux)
}

func load(args []string) error {
	flags := flag.NewFlagSet("load", flag.ExitOnError)
	size := flags.Int64("size", 256<<20, "bytes of each upload")
	piece := flags.Int64("piece", 8<<20, "bytes of each request")
	rounds := flags.Int("rounds", 5, "uploads to each server")
	if err := flags.Parse(args); err != nil {
		return err
	}
	content := make([]byte, *piece)
	_, _ = rand.NewChaCha8([32]byte{}).Read(content)
	took := make([]time.Duration, flags.NArg())
	for range *rounds {
		for i, arg := range flags.Args() {
			parts := bytes.SplitN([]byte(arg), []byte("="), 3)
			if len(parts) != 3 {
				return fmt.Errorf("%s: write NAME=URL=TOKEN", arg)
			}
			d, err := upload(string(parts[1]), string(parts[2]), content, *size)
			if err != nil {
				return fmt.Errorf("%s: %w", parts[0], err)
			}
			took[i] += d
		}
	}
	for i, arg := range flags.Args() {
		name, _, _ := bytes.Cut([]byte(arg), []byte("="))
		fmt.Printf("%-8s %7.1f MB/s  ratio to the last %.2f\n", name, float64(*size)*float64(*rounds)/1e6/took[i].Seconds(), took[len(took)-1].Seconds()/took[i].Seconds())
	}
	return nil
}

func upload(base, token string, piece []byte, size int64) (time.Duration, error) {
	began := time.Now()
	send := func(method, u string, body []byte, want int, head ...string) (http.Header, error) {
		r, err := http.NewRequest(method, u, bytes.NewReader(body))
		if err != nil {
			return nil, err
		}
		r.Header.Set("Tus-Resumable", "1.0.0")
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		for i := 0; i < len(head); i += 2 {
			r.Header.Set(head[i], head[i+1])
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			return nil, err
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		if resp.StatusCode != want {
			return nil, fmt.Errorf("%s: %d %s", method, resp.StatusCode, b)
		}
		return resp.Header, nil
	}
	h, err := send("POST", base, nil, 201, "Upload-Length", strconv.FormatInt(size, 10))
	if err != nil {
		return 0, err
	}
	for at := int64(0); at < size; at += int64(len(piece)) {
		body := piece[:min(int64(len(piece)), size-at)]
		if _, err := send("PATCH", h.Get("Location"), body, 204, "Upload-Offset", strconv.FormatInt(at, 10), "Content-Type", "application/offset+octet-stream"); err != nil {
			return 0, err
		}
	}
	return time.Since(began), nil
}
