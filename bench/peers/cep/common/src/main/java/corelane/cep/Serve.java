package corelane.cep;

import com.sun.management.OperatingSystemMXBean;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.lang.management.ManagementFactory;
import java.nio.file.Path;

/**
 * Holds one peer with one query in this process and runs passes when told to on standard input, so
 * that several peers can be measured in turns, each warm.
 */
public final class Serve {
    private Serve() {}

    private static String quoted(String text) {
        String escaped = text.replace("\\", "\\\\").replace("\"", "\\\"").replace("\n", "\\n");
        return '"' + escaped + '"';
    }

    /** PEER, an implementation of {@link Peer} built from a query's name and a variant; a file. */
    public static void main(String[] args) throws Exception {
        // Nothing that an engine prints may come between the answers.
        PrintStream out = System.out;
        System.setOut(System.err);
        Events events = Events.read(Path.of(args[2]));
        int variant = args.length > 3 ? Integer.parseInt(args[3]) : -1;
        Peer peer = (Peer) Class.forName(args[0])
            .getConstructor(String.class, int.class)
            .newInstance(args[1], variant);
        Results results = new Results();
        peer.start(events, results);
        out.printf(
            "{\"name\":%s,\"version\":%s,\"runtime\":%s,\"text\":%s}%n",
            quoted(peer.name()),
            quoted(peer.version()),
            quoted("Java " + System.getProperty("java.version")),
            quoted(peer.text()));
        var process = (OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
        var commands = new BufferedReader(new InputStreamReader(System.in));
        long passes = 0;
        for (String line = commands.readLine(); line != null; line = commands.readLine()) {
            long wall = System.nanoTime();
            long cpu = process.getProcessCpuTime();
            if (line.equals("pass")) {
                peer.pass(passes * events.span);
                passes += 1;
            } else if (line.equals("end")) {
                peer.end((passes - 1) * events.span);
            } else {
                throw new IllegalArgumentException(line);
            }
            cpu = process.getProcessCpuTime() - cpu;
            wall = System.nanoTime() - wall;
            out.printf(
                "{\"wall_ns\":%d,\"cpu_ns\":%d,\"rows\":%d,\"sum\":\"%016x\"}%n",
                wall, cpu, results.rows(), results.sum());
            out.flush();
        }
        // Threads of an engine do not keep the process.
        System.exit(0);
    }
}
