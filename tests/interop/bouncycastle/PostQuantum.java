// What Bouncy Castle 1.80 has and 1.72 has not: keys and certificates of ML-DSA, recipients of ML-KEM. One
// command a run, files in and out. Signatures are Peer's.
//
//   signer     NAME ALGORITHM         ALGORITHM: ML-DSA-44, .. ; writes NAME.pem and NAME.key
//   recipient  NAME ALGORITHM         ALGORITHM: ML-KEM-512, ..
//   encrypt    CONTENT OUT (CERT)...  AES-256-GCM
//   decrypt    ENVELOPE OUT CERT KEY

import java.io.StringReader;
import java.io.StringWriter;
import java.math.BigInteger;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.PrivateKey;
import java.security.Security;
import java.security.cert.X509Certificate;
import java.util.Date;
import org.bouncycastle.asn1.cms.CMSObjectIdentifiers;
import org.bouncycastle.asn1.cms.ContentInfo;
import org.bouncycastle.asn1.pkcs.PKCSObjectIdentifiers;
import org.bouncycastle.asn1.pkcs.PrivateKeyInfo;
import org.bouncycastle.asn1.x500.X500Name;
import org.bouncycastle.asn1.x509.AlgorithmIdentifier;
import org.bouncycastle.cert.X509CertificateHolder;
import org.bouncycastle.cert.jcajce.JcaX509CertificateConverter;
import org.bouncycastle.cert.jcajce.JcaX509v3CertificateBuilder;
import org.bouncycastle.cms.*;
import org.bouncycastle.cms.jcajce.*;
import org.bouncycastle.jce.provider.BouncyCastleProvider;
import org.bouncycastle.openssl.PEMParser;
import org.bouncycastle.openssl.jcajce.JcaPEMKeyConverter;
import org.bouncycastle.operator.OutputAEADEncryptor;
import org.bouncycastle.operator.jcajce.JcaContentSignerBuilder;
import org.bouncycastle.util.io.pem.PemObject;
import org.bouncycastle.util.io.pem.PemWriter;

public final class PostQuantum {
    private static final long HOUR = 3_600_000L;

    public static void main(String[] arguments) throws Exception {
        Security.addProvider(new BouncyCastleProvider());
        switch (arguments[0]) {
            case "signer" -> signer(arguments[1], arguments[2]);
            case "recipient" -> recipient(arguments[1], arguments[2]);
            case "encrypt" -> encrypt(arguments);
            case "decrypt" -> decrypt(arguments);
            default -> throw new IllegalArgumentException(arguments[0]);
        }
    }

    private static Object pem(String path) throws Exception {
        return new PEMParser(new StringReader(Files.readString(Path.of(path)))).readObject();
    }

    private static X509Certificate certificate(String path) throws Exception {
        return new JcaX509CertificateConverter()
                .setProvider("BC")
                .getCertificate((X509CertificateHolder) pem(path));
    }

    private static KeyPair pair(String algorithm) throws Exception {
        return KeyPairGenerator.getInstance(algorithm, "BC").generateKeyPair();
    }

    private static void signer(String name, String algorithm) throws Exception {
        KeyPair pair = pair(algorithm);
        write(name, pair, pair.getPrivate(), algorithm);
    }

    /** A key that cannot sign has its certificate from somebody else. */
    private static void recipient(String name, String algorithm) throws Exception {
        KeyPairGenerator generator = KeyPairGenerator.getInstance("EC", "BC");
        generator.initialize(256);
        write(name, pair(algorithm), generator.generateKeyPair().getPrivate(), "SHA256withECDSA");
    }

    private static void write(String name, KeyPair pair, PrivateKey by, String algorithm)
            throws Exception {
        X500Name subject = new X500Name("CN=" + name);
        long now = System.currentTimeMillis();
        var builder = new JcaX509v3CertificateBuilder(
                subject,
                BigInteger.valueOf(now),
                new Date(now - HOUR),
                new Date(now + HOUR),
                subject,
                pair.getPublic());
        var signer = new JcaContentSignerBuilder(algorithm).setProvider("BC").build(by);
        save(name + ".pem", "CERTIFICATE", builder.build(signer).getEncoded());
        save(name + ".key", "PRIVATE KEY", pair.getPrivate().getEncoded());
    }

    private static void save(String path, String label, byte[] der) throws Exception {
        var text = new StringWriter();
        try (var pem = new PemWriter(text)) {
            pem.writeObject(new PemObject(label, der));
        }
        Files.writeString(Path.of(path), text.toString());
    }

    private static void encrypt(String[] arguments) throws Exception {
        var generator = new CMSAuthEnvelopedDataGenerator();
        for (int at = 3; at < arguments.length; at += 1) {
            var hkdf = new AlgorithmIdentifier(PKCSObjectIdentifiers.id_alg_hkdf_with_sha256);
            generator.addRecipientInfoGenerator(
                    new JceKEMRecipientInfoGenerator(
                                    certificate(arguments[at]), CMSAlgorithm.AES256_WRAP)
                            .setKDF(hkdf)
                            .setProvider("BC"));
        }
        var encryptor =
                new JceCMSContentEncryptorBuilder(CMSAlgorithm.AES256_GCM).setProvider("BC").build();
        var content = new CMSProcessableByteArray(Files.readAllBytes(Path.of(arguments[1])));
        var envelope = generator.generate(content, (OutputAEADEncryptor) encryptor);
        Files.write(Path.of(arguments[2]), envelope.getEncoded());
    }

    private static void decrypt(String[] arguments) throws Exception {
        byte[] octets = Files.readAllBytes(Path.of(arguments[1]));
        var info = ContentInfo.getInstance(octets);
        RecipientInformationStore recipients =
                CMSObjectIdentifiers.authEnvelopedData.equals(info.getContentType())
                        ? new CMSAuthEnvelopedData(octets).getRecipientInfos()
                        : new CMSEnvelopedData(octets).getRecipientInfos();
        PrivateKey key = new JcaPEMKeyConverter()
                .setProvider("BC")
                .getPrivateKey((PrivateKeyInfo) pem(arguments[4]));
        X509CertificateHolder ours = (X509CertificateHolder) pem(arguments[3]);
        for (RecipientInformation recipient : recipients.getRecipients()) {
            if (recipient.getRID().match(ours)) {
                var opener = new JceKEMEnvelopedRecipient(key).setProvider("BC");
                var content = recipient.getContentStream(opener).getContentStream();
                Files.write(Path.of(arguments[2]), content.readAllBytes());
                return;
            }
        }
        throw new IllegalStateException("not a recipient");
    }

    private PostQuantum() {}
}
