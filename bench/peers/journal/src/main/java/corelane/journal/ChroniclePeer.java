package corelane.journal;

import java.io.BufferedReader;
import java.io.File;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.stream.Stream;
import net.openhft.chronicle.queue.ChronicleQueue;
import net.openhft.chronicle.queue.ExcerptAppender;
import net.openhft.chronicle.wire.DocumentContext;

/**
 * Appends records of 64 bytes to a Chronicle queue of its own: one pass for every line on standard
 * input, answered by "ns/record N". Passes before the first that is asked for bring the code to its
 * final form.
 */
public final class ChroniclePeer {
  private static final int WARM_PASSES = 3;

  private ChroniclePeer() {}

  public static void main(String[] args) throws IOException {
    Path folder = Path.of(args[0]);
    int records = Integer.parseInt(args[1]);
    for (int i = 0; i < WARM_PASSES; i++) {
      pass(folder, records);
    }
    BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
    while (in.readLine() != null) {
      System.out.println("ns/record " + pass(folder, records));
      System.out.flush();
    }
  }

  private static double pass(Path folder, int records) throws IOException {
    byte[] record = new byte[64];
    long begin;
    long end;
    try (ChronicleQueue queue = ChronicleQueue.single(folder.toString());
        ExcerptAppender appender = queue.createAppender()) {
      begin = System.nanoTime();
      for (int i = 0; i < records; i++) {
        for (int b = 0; b < 8; b++) {
          record[b] = (byte) ((long) i >>> (8 * b));
        }
        try (DocumentContext document = appender.writingDocument()) {
          document.wire().bytes().write(record);
        }
      }
      end = System.nanoTime();
    }
    try (Stream<Path> paths = Files.walk(folder)) {
      paths.sorted(Comparator.reverseOrder()).map(Path::toFile).forEach(File::delete);
    }
    return (end - begin) / (double) records;
  }
}
